"""What a sampler is made from, and the names under which it and the loop leave notes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from archfront.search.records.objectives import Reference
    from archfront.search.samplers.base import OpenCandidates
    from archfront.search.space.cost_model import Costs


@dataclass(frozen=True)
class Request:
    """What a study asks of a sampler.

    Attributes:
        candidates: What may be proposed.
        seed: Seed of the study.
        startup: Proposals before the sampler's own way begins.
        costs: What is known or expected of each architecture.
        reference: Where the hypervolume is measured from.
        is_timed: Whether the study ends by the clock, so that seconds count, not trainings.
        rung_costs: Epochs of each rung over those of a full training, the last one 1.
    """

    candidates: OpenCandidates
    seed: int
    startup: int
    costs: Costs
    reference: Reference
    is_timed: bool = False
    rung_costs: tuple[float, ...] = (1.0,)
