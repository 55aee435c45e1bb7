"""The study's loop in small, with costs and accuracies by formula, for the tests of samplers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
from optuna.storages import BaseStorage
from optuna.trial import Trial, TrialState

from archfront.search.records.evaluation import Latency, Measurement, Prediction
from archfront.search.records.objectives import Reference, objectives_for
from archfront.search.samplers import SAMPLERS
from archfront.search.samplers.base import OpenCandidates, WrappedSampler, Written
from archfront.search.samplers.request import Request
from archfront.search.space.cost_model import CostModel
from archfront.search.space.space import Space
from archfront.trainers.spec import Architecture

STARTUP = 4
# Under this limit, which is no candidate's cost, the larger half of the architectures is rejected.
LIMIT = 45.0


def simulated(space: Space, index: int) -> tuple[float, float, float]:
    """Return accuracy, latency and size of a candidate by a formula."""
    numeric = space.features([index]).numeric[0]
    log_params, log_size, log_lr = (float(v) for v in numeric[:3])
    cost = 10 ** (log_params + 2 * (log_size - np.log10(64)))
    accuracy = 0.7 + 0.1 * log_params + 0.1 * log_size - 0.05 * (log_lr + 2.7) ** 2
    return accuracy, float(cost), 10**log_params


class Knows:
    """Knows what every architecture of a space costs, or nothing at all."""

    def __init__(self, space: Space, *, is_blank: bool = False) -> None:
        self._measured = (
            {}
            if is_blank
            else {
                architecture: Measurement(
                    latency_of(simulated(space, space.first_index(number))[1]),
                    simulated(space, space.first_index(number))[2],
                    1.0,
                    1.0,
                    0.1,
                )
                for number, architecture in enumerate(space.architectures)
            }
        )

    def measured(self) -> dict[Architecture, Measurement]:
        return self._measured

    def bands(self, architectures: object) -> dict[int, Prediction]:
        return {}


def latency_of(ms: float) -> Latency:
    return Latency(ms, ms, 0.0, 50, 10, 1, 1, "eager", "1", "fp32", "device", "none", True)


def sampler_of(
    name: str,
    candidates: OpenCandidates,
    seed: int,
    objectives: int = 2,
    *,
    is_blank: bool = False,
    limits: dict[str, float | None] | None = None,
    rung_costs: tuple[float, ...] = (1.0,),
) -> Any:
    """Return a sampler that knows all costs; a Gaussian process of Optuna's looks at less."""
    goals = objectives_for("accuracy", ("latency_ms", "params_m")[: objectives - 1])
    reference = Reference({"accuracy": 0.1, "latency_ms": 100.0, "params_m": 50.0})
    knows: Any = Knows(candidates.space, is_blank=is_blank)
    costs = CostModel(candidates.space, knows, goals, limits or {}, reference)
    request = Request(candidates, seed, STARTUP, costs, reference, rung_costs=rung_costs)
    made = SAMPLERS[name](request)
    if name == "gp":
        assert isinstance(made, WrappedSampler)
        whole = made._make
        made._make = lambda s: light(whole(s))
    return made


def light(sampler: Any) -> Any:
    """Return a Gaussian process that looks at fewer points, to take 0.1 s."""
    sampler._n_preliminary_samples, sampler._n_local_search = 64, 2
    sampler._n_qmc_samples_ehvi = 16
    return sampler


class Loop:
    """The study's loop in small: ask, gate, tell; a fresh sampler over the same records."""

    def __init__(
        self,
        name: str,
        space: Space,
        *,
        seed: int = 0,
        objectives: int = 2,
        storage: BaseStorage | None = None,
        limit: float = float("inf"),
        make: Callable[[int], Any] | None = None,
        rung_costs: tuple[float, ...] = (1.0,),
    ) -> None:
        self.space, self.limit, self.objectives = space, limit, objectives
        self.study = optuna.create_study(
            study_name="study",
            storage=storage,
            directions=["maximize", "minimize", "minimize"][:objectives],
            load_if_exists=True,
        )
        self.candidates = OpenCandidates(space)
        self.sampler = (
            WrappedSampler(make, self.candidates, seed)
            if make
            else sampler_of(name, self.candidates, seed, objectives, rung_costs=rung_costs)
        )
        self.study.sampler = self.sampler
        for frozen in self.study.get_trials(deepcopy=False):
            if frozen.state.is_finished():
                self._close(space.index(space.suggest(Written(frozen.params))))

    def ask(self) -> tuple[Trial, int]:
        trial = self.study.ask()
        index = self.space.index(self.space.suggest(trial))
        assert self.candidates.is_open(index)
        self.candidates.close(index)
        return trial, index

    def tell(self, trial: Trial, index: int, *, fails: bool = False) -> None:
        self._close(index)
        values = simulated(self.space, index)
        if fails or values[1] > self.limit:
            self.study.tell(trial, state=TrialState.FAIL)
        else:
            self.study.tell(trial, list(values[: self.objectives]))

    def run(self, n: int) -> list[int]:
        """Go up to n steps and return the indices proposed, fewer when the space is exhausted."""
        indices = []
        while len(indices) < n and self.candidates.has_any():
            trial, index = self.ask()
            self.tell(trial, index)
            indices.append(index)
        return indices

    def _close(self, index: int) -> None:
        self.candidates.close(index)
        if simulated(self.space, index)[1] > self.limit:
            self.candidates.close_architecture(index)
