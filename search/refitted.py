"""Members with the weights of their full training, or of the search's short one."""

from __future__ import annotations

from search.export.members import Member, chosen_trials, proxy_member
from search.results import Results


def member_of(results: Results, name: str, *, is_proxy: bool) -> Member:
    """Return the member that a name stands for.

    Args:
        results: The study.
        name: As ``search.export.members.chosen_trials`` takes it.
        is_proxy: Whether the weights of its proxy training are asked for.

    Raises:
        StudyError: If there is none, or its weights are not there.
    """
    [trial] = chosen_trials(results, [name])
    return proxy_member(results, trial)
