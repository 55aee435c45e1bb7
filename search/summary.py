"""How large a search space is, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from search.space import Summary

# Reasons that are named; the others are counted.
NAMED = 12


def lines(summary: Summary, before: Mapping[str, int]) -> Iterator[str]:
    """Yield what there is to say, line by line.

    Args:
        summary: Of the space.
        before: How many backbones were left out before, by reason.
    """
    yield (
        f"space     {summary.candidates:,} candidates: {summary.backbones} backbones of "
        f"{summary.families} families, {summary.architectures:,} architectures, "
        f"{summary.recipes} recipes"
    )
    (least, most), (small, large) = summary.macs_g, summary.params_m
    yield (
        f"costs     {least:.3g} to {most:.3g} G MACs, {small:.3g} to {large:.3g} M parameters; "
        f"{summary.fused} backbones are fused before they are measured"
    )
    reasons = [*before.items(), *summary.left_out.items()]
    for reason, count in reasons[:NAMED]:
        yield f"left out  {count}: {reason}"
    if len(reasons) > NAMED:
        more = reasons[NAMED:]
        yield f"left out  {sum(count for _, count in more)} for {len(more)} more reasons"
