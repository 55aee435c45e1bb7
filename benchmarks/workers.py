"""Trials per hour of two workers against one, through the real command on the same cores.

Each run is a study of scikit-learn's digits with random proposals from the same seed, an MLflow
database and a latency memory of its own. One worker trains with all cores, two with half of them
each; a measurement stops both while its clock runs. Counted is from the first proposal to the last
outcome. Runs take turns, and the figure is the ratio of the medians.

    python benchmarks/workers.py [--trials 16] [--rounds 2]

The aim is 1.6 on two cores that do nothing else.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from archfront.search.records.paths import StudyPaths
from archfront.search.records.store import reading
from archfront.search.results.results import Results

HERE = Path(__file__).resolve().parent
AIM = 1.6


def trials_per_hour(workers: int, trials: int, words: list[str]) -> float:
    """Run a study and return how many candidates it trained an hour."""
    with TemporaryDirectory() as name:
        root = Path(name)
        study = [
            *("experiment=digits", "engine=processes", "engine.threads=null", "study=workers"),
            *(f"engine.workers={workers}", f"tracking.root={root}", "budget.minutes=null"),
            *("sampler=random", f"budget.trials={trials}"),
            *(f"tracking.device_db={root / 'latency.db'}", *words),
        ]
        path = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])
        command = [sys.executable, "-m", "archfront.search.cli", "run", *study, "--plain"]
        done = subprocess.run(
            command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, check=False
        )
        if done.returncode != 0:
            sys.exit(done.stderr.decode())
        places = StudyPaths(root, "workers")
        evaluations = Results.read(reading(places, None), places).evaluations
    trained = [e for e in evaluations if e.kind == "trained"]
    seconds = max(e.started + e.seconds for e in evaluations) - min(e.started for e in evaluations)
    return 3600 * len(trained) / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("words", nargs="*", help="more words for the command")
    options = parser.parse_args()
    found: dict[int, list[float]] = {1: [], 2: []}
    for round_ in range(options.rounds):
        for workers in (1, 2) if round_ % 2 == 0 else (2, 1):
            found[workers].append(trials_per_hour(workers, options.trials, options.words))
            print(f"{workers} workers: {found[workers][-1]:.0f} trials an hour", flush=True)
    one, two = median(found[1]), median(found[2])
    verdict = "" if two >= AIM * one else f", under {AIM}"
    print(f"two workers over one: {two / one:.2f} ({two:.0f} over {one:.0f} an hour){verdict}")


if __name__ == "__main__":
    main()
