"""The size of a space, and the reasons why backbones were left out, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from archfront.trainers.words import count_of


@dataclass(frozen=True)
class Summary:
    """The size of a space.

    Attributes:
        candidates: Architectures times recipes.
        backbones: Number of the backbones.
        families: Number of the timm modules that define them.
        architectures: Number of backbones with a head and an input size.
        recipes: Number of the recipes.
        fused: Backbones whose blocks are merged before they are measured.
        macs_g: The least and the most of an architecture.
        params_m: The least and the most of a backbone.
        left_out: Number of backbones left out, wholly or at some input sizes, by reason.
    """

    candidates: int
    backbones: int
    families: int
    architectures: int
    recipes: int
    fused: int
    macs_g: tuple[float, float]
    params_m: tuple[float, float]
    left_out: dict[str, int]


def drop_reason(dropped: str) -> str:
    """Return the reason why a backbone was left out, without its name and sizes."""
    _, _, reason = dropped.partition(": ")
    if reason.startswith("not at "):
        return f"at some sizes or all: {reason.partition(': ')[2]}"
    return reason


# Reasons that are named; the others are counted.
NAMED = 12


def lines(summary: Summary, before: Mapping[str, int]) -> Iterator[str]:
    """Yield the lines that describe the size of a space.

    Args:
        summary: Summary of the space.
        before: Number of backbones left out before the space was built, by reason.
    """
    yield (
        f"space     {count_of(summary.candidates, 'candidate')}: "
        f"{count_of(summary.backbones, 'backbone')} of "
        f"{count_of(summary.families, 'family', 'families')}, "
        f"{count_of(summary.architectures, 'architecture')}, {count_of(summary.recipes, 'recipe')}"
    )
    (least, most), (small, large) = summary.macs_g, summary.params_m
    fused = f"; {count_of(summary.fused, 'backbone is', 'backbones are')} fused before measuring"
    yield (
        f"costs     {least:.3g} to {most:.3g} G MACs, {small:.3g} to {large:.3g} M parameters"
        f"{fused if summary.fused else ''}"
    )
    reasons = [*before.items(), *summary.left_out.items()]
    for reason, count in reasons[:NAMED]:
        yield f"left out  {count}: {reason}"
    if len(reasons) > NAMED:
        more = reasons[NAMED:]
        n_left_out = sum(count for _, count in more)
        yield f"left out  {n_left_out} for {count_of(len(more), 'more reason')}"
