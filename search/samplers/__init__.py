"""Who proposes the next candidate: Optuna's samplers, by name.

A sampler is made anew for every proposal from (study seed, trial number, draw). Kept alive it
would start its random numbers over after a resume; so a resumed study goes on with the proposal
that the uninterrupted one would have made.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import optuna


def _tpe(startup: int, seed: int) -> optuna.samplers.BaseSampler:
    import optuna
    from optuna.exceptions import ExperimentalWarning

    with warnings.catch_warnings():
        # Axes that occur together are modeled together; Optuna calls that experimental.
        warnings.filterwarnings("ignore", message=".*group", category=ExperimentalWarning)
        return optuna.samplers.TPESampler(
            n_startup_trials=startup, seed=seed, multivariate=True, group=True
        )


def _gp(startup: int, seed: int) -> optuna.samplers.BaseSampler:
    import optuna

    return optuna.samplers.GPSampler(
        n_startup_trials=startup,
        seed=seed,
        independent_sampler=optuna.samplers.RandomSampler(seed=seed),
        warn_independent_sampling=False,
    )


def _nsga2(startup: int, seed: int) -> optuna.samplers.BaseSampler:
    import optuna

    return optuna.samplers.NSGAIISampler(population_size=max(2, startup), seed=seed)


def _random(startup: int, seed: int) -> optuna.samplers.BaseSampler:
    import optuna

    return optuna.samplers.RandomSampler(seed=seed)


# name -> function of (startup, seed); optuna is imported when one is made
SAMPLERS: dict[str, Callable[[int, int], Any]] = {
    "gp": _gp,
    "nsga2": _nsga2,
    "random": _random,
    "tpe": _tpe,
}
