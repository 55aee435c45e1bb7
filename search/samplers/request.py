"""The request of a study to its sampler."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from archfront.search.records.objectives import Reference
    from archfront.search.samplers.base import OpenCandidates
    from archfront.search.space.cost_model import CostModel

# Trainings in flight from which proposals are made for many workers: several of one fit, and a
# start that does not wait for the first result. With fewer each proposal is made of all that is
# known by then.
MANY = 20


@dataclass(frozen=True)
class Request:
    """The request of a study to its sampler.

    Attributes:
        candidates: The candidates that may be proposed.
        seed: Seed of the study.
        startup: Proposals before the sampler's own way begins.
        costs: The measured or expected costs of each architecture.
        reference: Where the hypervolume is measured from.
        is_timed: Whether the study ends by the clock, so that seconds count, not trainings.
        rung_costs: Epochs of each rung over those of a full training, the last one 1.
    """

    candidates: OpenCandidates
    seed: int
    startup: int
    costs: CostModel
    reference: Reference
    is_timed: bool = False
    rung_costs: tuple[float, ...] = (1.0,)
