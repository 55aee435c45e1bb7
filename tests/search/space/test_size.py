"""The lines of a space's size."""

from __future__ import annotations

from dataclasses import replace

from archfront.search.space.size import Summary, lines

SUMMARY = Summary(8, 2, 1, 4, 2, 0, (0.1, 0.25), (1.5, 3.0), {})


def test_fused_backbones_are_counted_where_there_are_any() -> None:
    """A space without any said that 0 backbones are fused."""
    size, costs = lines(SUMMARY, {})
    assert size == "space     8 candidates: 2 backbones of 1 family, 4 architectures, 2 recipes"
    assert costs == "costs     0.1 to 0.25 G MACs, 1.5 to 3 M parameters"
    _, costs = lines(replace(SUMMARY, fused=1), {})
    assert costs.endswith(" M parameters; 1 backbone is fused before measuring")
