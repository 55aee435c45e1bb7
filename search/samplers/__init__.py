"""The table of samplers, which propose the next candidate: ours, and Optuna's.

Optuna's are made anew for every proposal from (study seed, trial number, draw). Kept alive they
would start their random numbers over after a resume; so a resumed study goes on with the proposal
that the uninterrupted one would have made. They see a backbone as a family and a size within it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import optuna

    from archfront.search.samplers.base import ProposalSampler
    from archfront.search.samplers.request import Request

Make = Callable[["Request"], "ProposalSampler"]


def _front(request: Request) -> ProposalSampler:
    from archfront.search.samplers.front_sampler import FrontSampler

    return FrontSampler(request)


def _wrapped(make: Callable[[int, int], optuna.samplers.BaseSampler]) -> Make:
    def wrap(request: Request) -> ProposalSampler:
        from archfront.search.samplers.base import WrappedSampler

        return WrappedSampler(
            lambda seed: make(request.startup, seed), request.candidates, request.seed
        )

    return wrap


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


# Optuna and our own numerics are imported when one is made.
SAMPLERS: dict[str, Make] = {
    "front": _front,
    "gp": _wrapped(_gp),
    "nsga2": _wrapped(_nsga2),
    "random": _wrapped(_random),
    "tpe": _wrapped(_tpe),
}
