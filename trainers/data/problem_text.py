"""Errors about a dataset: each kind of problem once, with its count and a few examples."""

from __future__ import annotations

from collections.abc import Sequence

from archfront.trainers.data.checks import EMPTY
from archfront.trainers.data.raw import Skipped
from archfront.trainers.data.targets import TargetKind
from archfront.trainers.words import count_of, join_words

N_KINDS = 10  # kinds of problems that an error shows
N_SHOWN = 3  # problems of a kind that an error shows
# What else may be done about a kind of problem, where there are several of it.
ADVICE = {"object without an outline": "task=detection learns from boxes alone"}


def problems_text(where: str, broken: Sequence[Skipped], classes: Sequence[Skipped]) -> str:
    """Return the error about what is broken, and about classes that cannot be used.

    Classes without any image beside what is broken are only named, since that is often why.
    """
    empty = [problem for problem in classes if problem.reason == EMPTY] if broken else []
    shown = [*broken, *(problem for problem in classes if problem not in empty)]
    head = (
        f"{where} has {count_of(len(shown), 'problem')}. Correct what is named here, or "
        "set data.on_error=skip to leave it out:"
    )
    lines = [head, *_grouped(shown)]
    if empty:
        names = [repr(problem.name) for problem in empty]
        more = [f"{len(names) - N_KINDS} more"] if len(names) > N_KINDS else []
        without = count_of(len(empty), "class has", "classes have")
        lines.append(
            f"  Without what is broken, {without} no image: {join_words(names[:N_KINDS] + more)}"
        )
    return "\n".join(lines)


def too_few_classes_text(
    where: str, names: Sequence[str], skipped: Sequence[Skipped], target: TargetKind
) -> str:
    """Return the error about classes that are fewer than can be learned."""
    kept = f"only one class, {names[0]!r}" if names else "no class"
    problems = count_of(len(skipped), "problem was", "problems were")
    left_out = f" after {problems} left out" if skipped else ""
    needed = {
        "label": "a classifier needs at least two. Put the images of each class into a folder of "
        "its own, or correct what was left out.",
        "mask": "a mask needs at least two, of which one may be the background. Correct what was "
        "left out.",
    }.get(target, "there is nothing to learn. Correct what was left out.")
    return "\n".join([f"{where} has {kept}{left_out}; {needed}", *_grouped(skipped)])


def left_out_text(skipped: Sequence[Skipped]) -> str:
    """Return the further lines of an error on what was left out before; empty for nothing."""
    if not skipped:
        return ""
    were = count_of(len(skipped), "problem was", "problems were")
    return "\n".join([f" {were} left out:", *_grouped(skipped)])


def _grouped(problems: Sequence[Skipped]) -> list[str]:
    """Return lines that tell each kind of problem once, with its count and a few examples."""
    kinds: dict[str, list[Skipped]] = {}
    for problem in problems:
        kinds.setdefault(problem.reason, []).append(problem)
    lines = []
    for reason, found in list(kinds.items())[:N_KINDS]:
        if len(found) == 1:
            lines.append(f"  - {_line(found[0])}")
            continue
        advice = f" ({ADVICE[reason]})" if reason in ADVICE else ""
        lines.append(f"  - {len(found):,} of the kind: {reason}{advice}")
        lines += [f"      {_line(problem)}" for problem in found[:N_SHOWN]]
        lines += [f"      and {len(found) - N_SHOWN:,} more"] if len(found) > N_SHOWN else []
    if len(kinds) > N_KINDS:
        lines.append(f"  and {count_of(len(kinds) - N_KINDS, 'kind')} more")
    return lines


def _line(problem: Skipped) -> str:
    is_named = problem.name in problem.detail
    return problem.detail if is_named else f"{problem.name}: {problem.detail}"
