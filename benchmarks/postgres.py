"""What a trial costs in a team's PostgreSQL, and whether restarts of it lose or double anything.

Studies whose jobs take no time go through the real loop without MLflow: with the file journal,
with the table in PostgreSQL, with the same and ``synchronous_commit = off``, with Optuna's own
tables on the same server, and two drivers of two studies at once. Then a study goes on through
restarts at random moments, every second one by a kill, and its records are compared with those of
the file. The server is started for it, on this machine, with its settings as they are delivered.

    python benchmarks/postgres.py [--trials 1000] [--rdb 100] [--repeats 3]
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import optuna
from overhead import Replay, wide_space

from archfront.search.engine.inline import InlineEngine
from archfront.search.records import store
from archfront.search.records.events import Event, TrialFinished
from archfront.search.records.paths import StudyPaths
from archfront.search.records.store import StudyStore, reading
from tests.support import small_study
from tests.support.postgres_server import Server, execute, programs
from tests.support.study_engines import story

ROWS = "SELECT count(*), count(DISTINCT number), max(number) + 1 FROM archfront.journal"


def study_ms(
    root: Path,
    n_trials: int,
    url: str | None = None,
    *,
    study: str = "small",
    follower: Callable[[Event], None] = lambda event: None,
) -> list[float]:
    """Run a study whose jobs take no time and return the milliseconds of every trial."""
    config = small_study.small_config(
        root,
        study=study,
        budget__trials=n_trials,
        hardware__limits__latency_ms=1e6,
        tracking__storage_url=url,
    )
    replay, ends = Replay(), []

    def stamp(event: Event) -> None:
        if isinstance(event, TrialFinished):
            ends.append(time.perf_counter() - replay.seconds)

    prepared = small_study.prepared(config, wide_space())
    del prepared.dataset.splits["test"]  # scores would be another kind of work
    ended = small_study.study.run(
        config,
        prepared=prepared,
        engine=InlineEngine(replay.perform, workers=1, threads=1),
        followers=(stamp, follower),
        table=small_study.Forgetful(),
    )
    assert ended.state == "finished", ended
    return list(1000 * np.diff(ends))


def optunas_own_ms(root: Path, n_trials: int, url: str) -> list[float]:
    """Return the milliseconds of every trial with Optuna's own tables in the database."""
    ours, store._storage = store._storage, lambda *_: optuna.storages.RDBStorage(url)
    try:
        return study_ms(root, n_trials)
    finally:
        store._storage = ours


def two_drivers_ms(root: Path, n_trials: int, url: str) -> list[float]:
    """Return the milliseconds of every trial of two studies that two processes run at once."""
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        asked = [
            pool.apply_async(study_ms, (root, n_trials, url), {"study": name}) for name in "ab"
        ]
        return [ms for each in asked for ms in each.get()]


def restarted(server: Server, root: Path, n_trials: int, *, url: str, n_restarts: int) -> None:
    """Run a study through restarts of its database and check what is recorded.

    Raises:
        AssertionError: If an entry is lost or there twice.
    """
    n_ended, is_over, rng = 0, threading.Event(), random.Random(0)
    done: list[str] = []

    def count(event: Event) -> None:
        nonlocal n_ended
        n_ended += isinstance(event, TrialFinished)

    def restart() -> None:
        for number in range(n_restarts):
            while n_ended < (number + 1) * n_trials // (n_restarts + 1):
                if is_over.wait(0.001):
                    return
            time.sleep(rng.uniform(0, 0.02))  # anywhere within a trial
            (server.kill if number % 2 else server.stop)()
            server.start()
            done.append("killed" if number % 2 else "restarted")

    thread = threading.Thread(target=restart)
    thread.start()
    try:
        study_ms(root, n_trials, url, follower=count)
    finally:
        is_over.set()
        thread.join()
    ((n_rows, n_numbers, n_next),) = execute(url, ROWS)
    assert n_rows == n_numbers == n_next, (n_rows, n_numbers, n_next)
    assert len(done) == n_restarts, done
    print(f"  {', '.join(done)}: {n_rows} entries, none lost or there twice", flush=True)


def recorded(root: Path, url: str | None) -> StudyStore:
    """Return the records of a study."""
    return reading(StudyPaths(root, "small"), url)


def report(name: str, ms: list[float]) -> None:
    """Print the quartiles of milliseconds."""
    low, middle, high = np.percentile(ms, (25, 50, 75))
    print(f"{name:42} {middle:6.1f} ms a trial ({low:.1f} to {high:.1f})", flush=True)


def compared(server: Server, root: Path, n_trials: int, *, n_own: int, repeats: int) -> None:
    """Run studies of each kind in turns and print their milliseconds."""

    def database(setting: str = "") -> str:
        url = server.new_database()
        if setting:
            execute(url, f"ALTER DATABASE {url.rpartition('/')[2]} SET {setting}")
        return url

    cases: dict[str, Callable[[Path], list[float]]] = {
        "file journal": lambda at: study_ms(at, n_trials),
        "PostgreSQL": lambda at: study_ms(at, n_trials, database()),
        "PostgreSQL, synchronous_commit = off": lambda at: study_ms(
            at, n_trials, database("synchronous_commit = off")
        ),
        "Optuna's own tables in PostgreSQL": lambda at: optunas_own_ms(at, n_own, database()),
        "PostgreSQL, two drivers at once, each": lambda at: two_drivers_ms(
            at, n_trials, database()
        ),
    }
    found: dict[str, list[float]] = {name: [] for name in cases}
    for repeat in range(repeats):
        for number, (name, case) in enumerate(cases.items()):
            found[name] += case(root / f"{repeat}-{number}")
    for name, ms in found.items():
        report(name, ms)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--rdb", type=int, default=100, help="trials with Optuna's own tables")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--restarts", type=int, default=5)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    logging.getLogger("archfront").setLevel(logging.ERROR)  # it tells of each restart
    found = programs()
    assert found is not None, "PostgreSQL is not installed"
    server, n_trials = Server(found, options={}), options.trials
    try:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            compared(server, root, n_trials, n_own=options.rdb, repeats=options.repeats)
            print(f"{options.restarts} restarts:")
            url = server.new_database()
            restarted(server, root / "again", n_trials, url=url, n_restarts=options.restarts)
            began = time.perf_counter()
            after, whole = recorded(root / "again", url), recorded(root / "0-0", None)
            print(f"  read in {time.perf_counter() - began:.2f} s, that and the file journal")
            assert story(after.evaluations()) == story(whole.evaluations())
            print("  the same trials as in the file journal")
    finally:
        server.remove()


if __name__ == "__main__":
    main()
