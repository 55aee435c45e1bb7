"""How well each cheap fidelity ranks candidates as their full training does, and what it saves.

Candidates are drawn from a space, backbones, heads, sizes and recipes alike. Each is trained at
every fidelity as a study would do it, rung by rung: the probe (the head solved on the features of
the frozen backbone), and for every share of the images every epoch of a training whose schedule
spans all epochs. The full training is the last epoch on all images.

Told of each fidelity: Kendall's tau with the full training over the candidates, its standard error
by 1,000 resamples of candidates, the regret (the best full metric less that of the candidate that
the fidelity likes best), the mean seconds up to it, and the share of a full training that these
save. Networks without weights have no probe.

An hour for pieces of 96 px on one quiet core; the same command goes on where it was stopped:

    taskset -c 0 env OMP_NUM_THREADS=1 python benchmarks/fidelity_ranks.py --candidates 16 \
        --epochs 4 --out FILE \
        data=folder data.root=PIECES space.weights=WEIGHTS space.input_sizes=[96,128] \
        'space.backbones=[tf_efficientnet_lite0,tf_efficientnet_lite1,tf_efficientnet_lite2]'
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from scipy.stats import kendalltau

from archfront.search.config.build import build
from archfront.search.config.compose import compose
from archfront.search.prepare.prepare import Prepared, prepare
from archfront.search.records.candidate import Candidate
from archfront.trainers.spec import TrainResult, TrainSettings
from archfront.trainers.training.proxy import train

SHARES = (Fraction(1), Fraction(1, 3), Fraction(1, 9))
PROBE = "probe"
RESAMPLES = 1000

# A rung's training: settings, folder and what it goes on from.
Trainer = Callable[[Candidate, TrainSettings, Path, Path | None], TrainResult]
# By fidelity, the metric and the seconds up to it.
Values = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Ranking:
    """A fidelity against the full training.

    Attributes:
        fidelity: Its name.
        kendall: Kendall's tau-b over the candidates; None where all are equal.
        error: Its standard error.
        regret: The best full metric less that of the fidelity's choice.
        seconds: Mean of a candidate up to it.
        saved: Share of a full training's seconds that are saved.
    """

    fidelity: str
    kendall: float | None
    error: float | None
    regret: float
    seconds: float
    saved: float


def fractions(text: str) -> tuple[Fraction, ...]:
    """Return the shares that a text lists."""
    return tuple(Fraction(part) for part in text.split(","))


def name_of(share: Fraction, epoch: int) -> str:
    """Return the name of a fidelity, such as ``1/3 of the images, epoch 2``."""
    return f"epoch {epoch}" if share == 1 else f"{share} of the images, epoch {epoch}"


def settings_of(
    study: TrainSettings, options: argparse.Namespace, *, until_epoch: int, share: Fraction
) -> TrainSettings:
    """Return the settings of a training up to an epoch, from those of a study."""
    return replace(
        study,
        until_epoch=until_epoch,
        horizon=options.epochs,
        init="probe" if until_epoch == 0 else options.init or study.init,
        norms=options.norms or study.norms,
        ema=study.ema if options.ema is None else options.ema,
        share=float(share),
    )


def values_of(
    candidate: Candidate,
    study: TrainSettings,
    options: argparse.Namespace,
    folder: Path,
    trained: Trainer,
) -> Values:
    """Return the metric of a candidate at every fidelity, and the seconds up to it."""
    values: Values = {}
    if candidate.weights.source != "none":
        settings = settings_of(study, options, until_epoch=0, share=Fraction(1))
        result = trained(candidate, settings, folder / PROBE, None)
        values[PROBE] = {
            "metric": result.metrics[study.metric],
            "seconds": result.seconds,
        }
    for share in options.shares:
        resume, seconds = None, 0.0
        for epoch in range(1, options.epochs + 1):
            settings = settings_of(study, options, until_epoch=epoch, share=share)
            place = folder / f"{share.denominator}-{epoch}"
            result = trained(candidate, settings, place, resume)
            resume, seconds = result.resume, seconds + result.seconds
            values[name_of(share, epoch)] = {
                "metric": result.metrics[study.metric],
                "seconds": seconds,
            }
    return values


def drawn(prepared: Prepared, n: int, seed: int) -> list[Candidate]:
    """Return different candidates of a space, drawn by chance."""
    space = prepared.space
    if space.size < n:
        sys.exit(
            f"The space has {space.size} candidates and {n} are asked for. Give a larger one."
        )
    places = np.random.default_rng(seed).choice(space.size, size=n, replace=False)
    return [space.at(int(place)) for place in places]


def kendall(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Return Kendall's tau-b; None where one of both has only equal values."""
    tau = float(kendalltau(first, second).statistic)
    return None if np.isnan(tau) else tau


def error_of(
    first: Sequence[float], second: Sequence[float], rng: np.random.Generator
) -> float | None:
    """Return the standard error of Kendall's tau by resampled candidates."""
    pairs = np.array([first, second])
    found = [
        kendall(*pairs[:, rng.integers(pairs.shape[1], size=pairs.shape[1])])
        for _ in range(RESAMPLES)
    ]
    taus = [tau for tau in found if tau is not None]
    return float(np.std(taus, ddof=1)) if len(taus) > 1 else None


def rankings(table: Sequence[Values], full: str, seed: int = 0) -> list[Ranking]:
    """Return every fidelity against the full training, the fastest first."""
    rng = np.random.default_rng(seed)
    best = [values[full]["metric"] for values in table]
    full_s = mean(values[full]["seconds"] for values in table)
    rows = []
    for name in table[0]:
        metrics = [values[name]["metric"] for values in table]
        seconds = mean(values[name]["seconds"] for values in table)
        rows.append(
            Ranking(
                fidelity=name,
                kendall=kendall(metrics, best),
                error=None if name == full else error_of(metrics, best, rng),
                regret=max(best) - best[int(np.argmax(metrics))],
                seconds=seconds,
                saved=1 - seconds / full_s,
            )
        )
    return sorted(rows, key=lambda row: row.seconds)


def evaluated(
    prepared: Prepared, options: argparse.Namespace, trained: Trainer
) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows of all candidates that are done, after each."""
    rows = read_rows(options)
    done = {row["id"] for row in rows}
    for candidate in drawn(prepared, options.candidates, prepared.config.seed):
        if candidate.id not in done:
            with tempfile.TemporaryDirectory() as folder:
                values = values_of(
                    candidate, prepared.settings.train, options, Path(folder), trained
                )
            rows.append({"id": candidate.id, "label": candidate.label, "values": values})
            print(f"{len(rows)} of {options.candidates}: {candidate.label}", flush=True)
        yield rows


def asked_of(options: argparse.Namespace) -> dict[str, Any]:
    """Return what decides the values, without folders."""
    return {
        "words": [re.sub(r"=.*/", "=", word) for word in options.words],
        "epochs": options.epochs,
        "shares": [str(share) for share in options.shares],
        "init": options.init,
        "norms": options.norms,
        "ema": options.ema,
    }


def read_rows(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the rows that the file of results has."""
    if not options.out.is_file():
        return []
    content = json.loads(options.out.read_text(encoding="utf-8"))
    if content["asked"] != asked_of(options):
        sys.exit(f"{options.out} holds results of another question. Move it away.")
    rows: list[dict[str, Any]] = content["candidates"]
    return rows


def write(options: argparse.Namespace, rows: list[dict[str, Any]], full: str) -> list[Ranking]:
    """Write the file of results and return the rankings, none of fewer than two candidates."""
    found = rankings([row["values"] for row in rows], full) if len(rows) > 1 else []
    content = {
        "asked": asked_of(options),
        "fidelities": [vars(row) for row in found],
        "candidates": rows,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    part = options.out.with_name(options.out.name + ".part")
    part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    part.replace(options.out)
    return found


def show(rows: Sequence[Ranking]) -> None:
    print(f"{'fidelity':32}{'tau':>7}{'error':>7}{'regret':>8}{'seconds':>9}{'saved':>7}")
    for row in rows:
        tau, error = ("none" if v is None else f"{v:.2f}" for v in (row.kendall, row.error))
        print(
            f"{row.fidelity:32}{tau:>7}{error:>7}{row.regret:>8.3f}{row.seconds:>9.1f}"
            f"{row.saved:>7.0%}"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    options = options_of(arguments)
    with tempfile.TemporaryDirectory() as folder:
        places = [f"tracking.root={folder}", f"tracking.device_db={folder}/latency.db"]
        composed = compose([*options.words, *places, "engine.threads=1"])
        prepared = prepare(build(composed.content, texts=composed.texts))

        def trained(
            candidate: Candidate, settings: TrainSettings, place: Path, resume: Path | None
        ) -> TrainResult:
            return train(
                candidate.architecture,
                candidate.weights,
                candidate.recipe,
                prepared.data,
                settings,
                folder=place,
                resume=resume,
            )

        full = name_of(Fraction(1), options.epochs)
        found: list[Ranking] = []
        for rows in evaluated(prepared, options, trained):
            found = write(options, rows, full)
    show(found)
    print(f"written to {options.out}")


def options_of(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("words", nargs="+", help="of archfront run: data, task and space")
    parser.add_argument("--candidates", type=int, default=16, help="at least 15 say something")
    parser.add_argument("--epochs", type=int, default=4, help="of a full training")
    parser.add_argument("--shares", type=fractions, default=SHARES, help="such as 1,1/3,1/9")
    parser.add_argument("--init", choices=("random", "probe"), help="default: the study's own")
    parser.add_argument("--norms", choices=("train", "frozen"), help="default: the study's own")
    parser.add_argument("--ema", type=float, help="default: the study's own")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    if Fraction(1) not in options.shares:
        parser.error("--shares needs 1: without all images there is no full training.")
    return options


if __name__ == "__main__":
    main()
