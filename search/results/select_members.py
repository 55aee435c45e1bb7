"""Which trained candidate of a study is meant, and the weights that it has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archfront.search.errors import StudyError
from archfront.search.front.members import (
    FrontMember,
    chosen_by_name,
    final_evaluations,
    named_members,
)
from archfront.search.records.evaluation import Evaluation, Trained
from archfront.search.results.results import Results
from archfront.trainers.errors import DamagedError
from archfront.trainers.sums import check_sum

NAMES = ("knee", "fastest", "best")


@dataclass(frozen=True)
class Member:
    """A trained candidate with its weights.

    Attributes:
        evaluation: Its record.
        weights: The file.
        origin: Where it comes from: ``kind`` (``proxy`` or ``refit``), ``seed``, ``epochs``.
    """

    evaluation: Evaluation
    weights: Path
    origin: dict[str, Any]


def chosen_trials(results: Results, names: Sequence[str]) -> list[int]:
    """Return the trials that names stand for, each once, in their order.

    Args:
        results: The study.
        names: ``knee``, ``fastest``, ``best``, ``all`` for the front (without what is not better
            than a baseline, unless nothing is), ``trained`` for all trained candidates; or the
            number of a trial, or the id of a candidate or its beginning.

    Raises:
        StudyError: If one of them stands for nothing, with what there is.
    """
    members = results.front()
    if not members:
        raise StudyError(results.none_trained())
    better = [member for member in members if not member.not_better_than]
    many = {
        "all": [member.trial for member in better or members],
        "trained": [e.trial for e in final_evaluations(results.evaluations)],
    }
    trials: list[int] = []
    for name in names:
        trials += many[name] if name in many else [_trial(results, members, name)]
    return list(dict.fromkeys(trials))


def aliases(members: Sequence[FrontMember]) -> dict[str, int]:
    """Return the trials of a front that have a name; one trial may have several.

    They are better than the baselines, where any member is.
    """
    named = named_members(members) or chosen_by_name(members)
    return {name: named[name].trial for name in NAMES}


def best_member(members: Sequence[FrontMember]) -> FrontMember | None:
    """Return the member that ``best`` stands for; None of an empty front."""
    if not members:
        return None
    best = aliases(members)["best"]
    return next(member for member in members if member.trial == best)


def _trial(results: Results, members: Sequence[FrontMember], name: str) -> int:
    named = aliases(members)
    if name in named:
        return named[name]
    trained = final_evaluations(results.evaluations)
    found = [
        e.trial
        for e in trained
        if str(e.trial) == name or (len(name) >= 4 and e.candidate.id.startswith(name))
    ]
    if len(found) == 1:
        return found[0]
    front = ", ".join(f"{m.trial} ({m.candidate.id})" for m in members)
    raise StudyError(
        f"{'Several candidates' if found else 'No trained candidate'} of the study "
        f"{results.paths.study!r} {'begin with' if found else 'is'} {name!r}. Give "
        f"{', '.join(NAMES)}, all, or the trial or id of one; the front has {front}."
    )


def evaluation_of(results: Results, trial: int) -> Evaluation:
    """Return the final evaluation of a trained trial."""
    return next(e for e in final_evaluations(results.evaluations) if e.trial == trial)


def _epochs(trained: Trained) -> int:
    """Return the epochs that the kept weights were trained for."""
    return len(trained.curve) if trained.fidelity is None else trained.fidelity.kept_epoch


def check_kept(results: Results, trial: int, weights: Path) -> None:
    """Check that the weights of a member are as they were written.

    Raises:
        DamagedError: If they are not, with what to do.
    """
    try:
        check_sum(weights)
    except DamagedError as error:
        study = results.paths.study
        raise DamagedError(
            f"{error} To train trial {trial} again: archfront refit {study} --members {trial}."
        ) from error


def proxy_weights(results: Results, trial: int) -> Path:
    """Return where the weights of a proxy training are, if they were kept."""
    outcome = evaluation_of(results, trial).outcome
    assert isinstance(outcome, Trained)
    return results.paths.folder / outcome.weights


def proxy_member(results: Results, trial: int) -> Member:
    """Return a member with the weights of its proxy training.

    Raises:
        StudyError: If they were not kept.
        DamagedError: If they are not as they were written.
    """
    evaluation, weights = evaluation_of(results, trial), proxy_weights(results, trial)
    assert isinstance(evaluation.outcome, Trained)
    if not weights.is_file():
        raise StudyError(
            f"The weights of trial {trial} are not at {weights}: only those of the front are "
            f"kept. Refit it instead: archfront refit {results.paths.study} --members {trial}."
        )
    check_kept(results, trial, weights)
    origin = {
        "kind": "proxy",
        "seed": evaluation.seed,
        "epochs": _epochs(evaluation.outcome),
    }
    return Member(evaluation, weights, origin)
