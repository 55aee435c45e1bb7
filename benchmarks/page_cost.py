"""What a page costs the server of a study of thousands of trials, in processor time.

Asks a service in this process for what the page of a made-up study asks for, at first and after
more records, and prints the milliseconds of processor time of each answer: unlike the seconds of
``page.py`` they say something on a machine that is busy, too.

    python benchmarks/page_cost.py [--trials 10000] [--records 3]
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import optuna
from made_up_studies import OBJECTIVES, record, write

from archfront.search.records.paths import StudyPaths
from archfront.search.records.store import driving
from tests.support.services import client_of

NAME = "many"
# What is asked for at first, below the study; the study itself has its front with all ties.
FIRST = ("", "columns", "columns", "running", "history", "devices", "devices", "trials")
# What is asked for after a record.
AFTER = ("running", "", "columns?after=1e9", "columns")


def told(what: str, call: Callable[[], object]) -> None:
    """Call something and print its processor time."""
    begun = time.process_time()
    call()
    print(f"{what or 'the study itself':24} {1000 * (time.process_time() - begun):7.0f} ms")


def main() -> int:
    """Write a study and ask for what its page asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--records", type=int, default=3)
    asked = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        paths = StudyPaths(Path(folder), NAME)
        write(paths, asked.trials, rng)
        with driving(paths, None, OBJECTIVES) as store, client_of(paths.root) as client:
            client.get("/api/v1/health")

            def answer(what: str) -> None:
                client.get(f"/api/v1/studies/{NAME}/{what}".rstrip("/")).raise_for_status()

            told("records", lambda: client.app.state.service.read(NAME))  # type: ignore[attr-defined]
            for what in FIRST:
                told(what, lambda what=what: answer(what))  # type: ignore[misc]
            for n_more in range(1, asked.records + 1):
                record(store, rng)
                print(f"after {n_more} more:")
                for what in AFTER:
                    told(what, lambda what=what: answer(what))  # type: ignore[misc]
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
