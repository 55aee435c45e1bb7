"""The interval of a median, against tables, a closed form and a simulation."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest

from archfront.search.latency.clock import median_interval


class TestMedianInterval:
    @pytest.mark.parametrize(
        ("n", "low", "high"),
        # Ranks from one, as in table A.1 of the source and in tables of the sign test.
        [(6, 1, 6), (8, 1, 8), (9, 2, 8), (12, 3, 10), (20, 6, 15), (50, 18, 33), (70, 27, 44)],
    )
    def test_its_ends_have_the_ranks_of_the_tables(self, n: int, low: int, high: int) -> None:
        values = np.random.default_rng(0).permutation(np.arange(1.0, n + 1))
        assert median_interval(values) == (low, high)

    @pytest.mark.parametrize("n", range(6, 71))
    def test_it_covers_95_percent_and_the_next_narrower_one_does_not(self, n: int) -> None:
        ends = median_interval(np.arange(1.0, n + 1))
        assert ends is not None
        rank = int(ends[0])

        def coverage(k: int) -> float:
            return 1 - 2 * sum(comb(n, i) for i in range(k)) / 2**n

        assert coverage(rank) >= 0.95 > coverage(rank + 1)

    def test_many_values_have_nearly_the_exact_ranks(self) -> None:
        ends = median_interval(np.arange(1.0, 1001))
        assert ends is not None
        inside = sum(comb(1000, i) for i in range(int(ends[0]), 1000 - int(ends[0]) + 1)) / 2**1000
        assert 0.95 <= inside < 0.96

    @pytest.mark.parametrize("n", range(1, 6))
    def test_fewer_than_six_values_have_none(self, n: int) -> None:
        assert median_interval(np.arange(float(n))) is None

    def test_it_holds_the_true_median_of_a_skewed_distribution(self) -> None:
        rng = np.random.default_rng(7)
        held = 0
        for _ in range(2000):
            ends = median_interval(rng.exponential(size=15))
            assert ends is not None
            held += ends[0] <= np.log(2) <= ends[1]
        # Exactly 1 - 2 P(B(15, 1/2) <= 3) = 0.9648; four standard errors are 0.016.
        assert held / 2000 == pytest.approx(0.9648, abs=0.017)
