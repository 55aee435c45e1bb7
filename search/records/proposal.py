"""The reason for which a sampler proposed a candidate."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Proposal:
    """Why a sampler proposed a candidate.

    Attributes:
        chosen_by: What part of the sampler: ``start`` or ``improvement``.
        costs: The costs by name as they were known or expected, in their own units.
        are_measured: Whether all of them were measured.
        metric: The expected metric; None where nothing had been trained yet, as the next ones.
        metric_low: Lower end of the band that nine of ten should lie in.
        metric_high: Its upper end.
        gain: Expected growth of the hypervolume, as a share of that of the front so far.
        train_s: Expected seconds of the training, where the gain was weighed by them.
    """

    chosen_by: str
    costs: dict[str, float]
    are_measured: bool
    metric: float | None = None
    metric_low: float | None = None
    metric_high: float | None = None
    gain: float | None = None
    train_s: float | None = None

    def __str__(self) -> str:
        """Return it for people, as ``improvement: 0.91 (0.88 to 0.94), gain 2.1%``."""
        if self.metric is None or self.gain is None:
            return self.chosen_by
        band = f"{self.metric_low:.3g} to {self.metric_high:.3g}"
        return f"{self.chosen_by}: {self.metric:.3g} ({band}), gain {self.gain:.1%}"
