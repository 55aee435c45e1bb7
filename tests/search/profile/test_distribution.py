"""Numbers in summary, against numpy."""

from __future__ import annotations

import numpy as np
import pytest

from archfront.search.profile.distribution import EXACT, Distribution, Numbers


def summary(*numbers: float) -> Distribution:
    found = Numbers()
    found.add(*numbers)
    return found.distribution()


def test_few_numbers_are_told_exactly() -> None:
    values = np.random.default_rng(0).integers(0, 500, 3000).astype(float)
    found = summary(*values)
    assert (found.n, found.min, found.max) == (3000, values.min(), values.max())
    assert found.mean == pytest.approx(values.mean())
    asked = (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99)
    told = (found.p1, found.p10, found.p25, found.p50, found.p75, found.p90, found.p99)
    assert told == tuple(np.quantile(values, asked, method="inverted_cdf"))


def test_many_different_numbers_are_told_within_a_percent() -> None:
    values = np.exp(np.random.default_rng(0).normal(0, 3, 3 * EXACT))
    found = summary(*values)
    exact = np.quantile(values, (0.1, 0.5, 0.99), method="inverted_cdf")
    assert (found.p10, found.p50, found.p99) == pytest.approx(tuple(exact), rel=0.01)
    assert (found.min, found.max) == (values.min(), values.max())
    assert found.mean == pytest.approx(values.mean())


def test_memory_does_not_grow_with_the_numbers() -> None:
    found = Numbers()
    for start in range(0, 40_000, 10_000):
        found.add(*np.random.default_rng(start).uniform(0.001, 1e6, 10_000))
    assert len(found._counts) < 2 * EXACT


@pytest.mark.parametrize(
    "values", [[3.0], [1.0, 2.0, 2.0, 5.0], [0.0, 0.5], list(np.geomspace(1, 1e4, 77))]
)
def test_the_histogram_counts_every_number_once(values: list[float]) -> None:
    found = summary(*values)
    assert sum(found.counts) == len(values)
    assert len(found.edges) == len(found.counts) + 1
    assert list(found.edges) == sorted(set(found.edges))
    assert found.edges[0] <= min(values)
    assert found.edges[-1] >= max(values)


def test_the_histogram_of_few_whole_numbers_has_a_bin_for_each() -> None:
    found = summary(1, 2, 2, 4)
    assert found.edges == (0.5, 1.5, 2.5, 3.5, 4.5)
    assert found.counts == (1, 2, 0, 1)


def test_no_number_has_an_empty_summary() -> None:
    assert Numbers().distribution() == Distribution()


@pytest.mark.parametrize(
    ("numbers", "value", "share"),
    [
        ([0.01] * 50, 0.02, 1.0),
        ([0.01] * 50, 0.01, 0.0),
        ([0.01] * 90 + [0.05] * 10, 0.0105, 0.9),
        ([0.01] * 90 + [0.05] * 10, 0.03, 0.9),
        ([0.01] * 90 + [0.05] * 10, 0.06, 1.0),
        ([1.0, 2.0, 2.0, 4.0], 3.0, 0.75),
        ([], 1.0, 0.0),
    ],
)
def test_the_share_below_a_value_does_not_spread_equal_numbers(
    numbers: list[float], value: float, share: float
) -> None:
    """A quarter of equal numbers was told to be below the double of them."""
    assert summary(*numbers).share_below(value) == pytest.approx(share)


@pytest.mark.parametrize("spread", [0.3, 3.0])  # with even bins, and with logarithmic ones
def test_the_share_below_a_value_is_near_that_of_all_numbers(spread: float) -> None:
    numbers = np.exp(np.random.default_rng(0).normal(0, spread, 1000))
    found = summary(*numbers)
    asked = np.quantile(numbers, np.linspace(0.003, 0.997, 60))
    shares = [found.share_below(value) for value in asked.tolist()]
    assert shares == sorted(shares)
    assert shares == pytest.approx([float((numbers < value).mean()) for value in asked], abs=0.03)
    exact = [(numbers < edge).mean() for edge in found.edges[:-1]]
    assert [found.share_below(edge) for edge in found.edges[:-1]] == pytest.approx(exact)


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_what_is_no_length_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="no place among lengths"):
        Numbers().add(value)
