"""What full trainings say, in words, for the terminal and the report."""

from __future__ import annotations

from archfront.search.records.refit_records import RefitMember, RefitSummary


def verdict(member: RefitMember) -> str:
    """Return what became of a member."""
    if member.dominated_by:
        return f"dominated by {_trials(member.dominated_by)}, with confidence"
    if not member.is_on_front:
        return "off the front, but only by chance as far as can be told"
    if member.ties:
        return f"front; ties with {_trials(member.ties)}"
    return "front"


def remarks(member: RefitMember) -> str:
    """Return what became of a member, and whether it is worse than its short training."""
    worse = ["worse than its proxy"] if member.warning else []
    return "; ".join([verdict(member), *worse])


def sentences(found: RefitSummary) -> list[str]:
    """Return how good the short trainings were at ranking, and which were better than refits.

    Of one member nothing is said: it has no rank, and a front of one is the member itself.
    """
    n, said = len(found.members), []
    if found.kendall is not None and found.p_value is not None:
        said.append(
            f"Rank correlation of proxy and refit (Kendall's tau-b): {found.kendall:.2f} over {n} "
            f"members, p = {found.p_value:.2g}."
        )
    n_front = sum(member.is_on_front for member in found.members)
    if n_front == 1 and n > 1:
        was = "was" if found.kept_share == 1 else "was not"
        said.append(f"The one member on the refit front {was} on the proxy front.")
    elif n > 1:
        share = f"{found.kept_share:.0%} of the {n_front} on the refit front"
        said.append(f"{share} were on the proxy front.")
    return [*said, *(member.warning for member in found.members if member.warning)]


def _trials(trials: tuple[int, ...]) -> str:
    return ", ".join(str(trial) for trial in trials)
