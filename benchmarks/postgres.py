"""What a trial costs in a team's PostgreSQL, and whether restarts of it lose or double anything.

Studies whose jobs take no time go through the real loop without MLflow: with the file journal,
with the table in PostgreSQL, with the same and ``synchronous_commit = off``, with Optuna's own
tables on the same server, and two drivers of two studies at once. Then two drivers go on through
restarts at random moments, every second one by a kill, and the records of both are compared with
those of the file. The server is started for it, on this machine, with its settings as delivered.

    python benchmarks/postgres.py [--trials 1000] [--rdb 100] [--repeats 3] [--restarts 5]
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

ROWS = """
SELECT study, count(*), count(DISTINCT number), max(number) + 1
FROM archfront.journal GROUP BY study ORDER BY study
"""
# Milliseconds of each trial, and those of them in which the driver's process worked.
Costs = list[tuple[float, float]]
# The studies that go on through restarts.
DRIVEN = ("other", "small")


def study_ms(
    root: Path,
    n_trials: int,
    url: str | None = None,
    *,
    study: str = "small",
    follower: Callable[[Event], None] = lambda event: None,
) -> Costs:
    """Run a study whose jobs take no time and return what every trial cost."""
    config = small_study.small_config(
        root,
        study=study,
        budget__trials=n_trials,
        hardware__limits__latency_ms=1e6,
        tracking__storage_url=url,
    )
    replay, ends = Replay(), list[tuple[float, float]]()

    def stamp(event: Event) -> None:
        if isinstance(event, TrialFinished):
            ends.append((time.perf_counter() - replay.seconds, time.process_time()))

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
    return [(1000 * wall, 1000 * cpu) for wall, cpu in np.diff(ends, axis=0)]


def optunas_own_ms(root: Path, n_trials: int, url: str) -> Costs:
    """Return what every trial cost with Optuna's own tables in the database."""
    ours, store._storage = store._storage, lambda *_: optuna.storages.RDBStorage(url)
    try:
        return study_ms(root, n_trials)
    finally:
        store._storage = ours


def two_drivers_ms(root: Path, n_trials: int, url: str) -> Costs:
    """Return what every trial cost of two studies that two processes run at once."""
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        asked = [
            pool.apply_async(study_ms, (root, n_trials, url), {"study": name}) for name in "ab"
        ]
        return [cost for each in asked for cost in each.get()]


def restarted(server: Server, root: Path, n_trials: int, *, url: str, n_restarts: int) -> None:
    """Run two studies at once through restarts of their database and check what is recorded.

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

    with multiprocessing.get_context("spawn").Pool(1) as pool:
        pool.apply(wide_space)  # what it imports takes longer than many trials
        other = pool.apply_async(study_ms, (root, n_trials, url), {"study": DRIVEN[0]})
        thread = threading.Thread(target=restart)
        thread.start()
        try:
            study_ms(root, n_trials, url, study=DRIVEN[1], follower=count)
        finally:
            is_over.set()
            thread.join()
        other.get()
    found = execute(url, ROWS)
    assert [study for study, *_ in found] == list(DRIVEN), found
    for study, n_rows, n_numbers, n_next in found:
        assert n_rows == n_numbers == n_next, (study, n_rows, n_numbers, n_next)
    assert len(done) == n_restarts, done
    entries = " and ".join(f"{n_rows}" for _, n_rows, *_ in found)
    print(f"  {', '.join(done)}: {entries} entries, none lost or there twice", flush=True)


def recorded(root: Path, url: str | None, study: str = "small") -> StudyStore:
    """Return the records of a study."""
    return reading(StudyPaths(root, study), url)


def _since(began: float) -> str:
    return f"{time.perf_counter() - began:.2f} s"


def report(name: str, costs: Costs) -> None:
    """Print the quartiles of milliseconds, and what of them is the driver's own work."""
    wall, cpu = np.array(costs).T
    low, middle, high = np.percentile(wall, (25, 50, 75))
    print(
        f"{name:42} {middle:6.1f} ms a trial ({low:.1f} to {high:.1f}); "
        f"processor time of the driver {np.median(cpu):.1f} ms",
        flush=True,
    )


def compared(server: Server, root: Path, n_trials: int, *, n_own: int, repeats: int) -> None:
    """Run studies of each kind in turns and print their milliseconds."""

    def database(setting: str = "") -> str:
        url = server.new_database()
        if setting:
            execute(url, f"ALTER DATABASE {url.rpartition('/')[2]} SET {setting}")
        return url

    cases: dict[str, Callable[[Path], Costs]] = {
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
    found: dict[str, Costs] = {name: [] for name in cases}
    for repeat in range(repeats):
        for number, (name, case) in enumerate(cases.items()):
            found[name] += case(root / f"{repeat}-{number}")
    for name, costs in found.items():
        report(name, costs)


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
            whole = story(recorded(root / "0-0", None).evaluations())
            for study in DRIVEN:
                assert story(recorded(root / "again", url, study).evaluations()) == whole, study
            print(f"  the same trials as in the file journal, read in {_since(began)}")
    finally:
        server.remove()


if __name__ == "__main__":
    main()
