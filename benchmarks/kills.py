"""What ``kill -9`` at random moments takes from tiny studies: nothing may be lost.

Studies of tiny networks on digits run one after the other, several in a root. The driver, or it
with all its workers, is killed at a drawn moment: within the first two seconds of the command,
after a drawn line of the study's log, or within the two seconds after its last trial. Then the
same command runs to its end, and all of this is checked:

- the journal goes on where it was: every whole line of it is still there, in its order
- no rung of a trial is recorded twice, and the number of trials is that of the budget
- the root is of use: ``archfront list`` and ``archfront report`` end well, the report is there
- MLflow is equal to the records: a run for each trial with its values and status, none that runs
- no process of the killed group is left

    python benchmarks/kills.py --kills 40 --seed 0 [--root DIR]

It prints a line a kill and exits with 1 if anything was lost. Processes are forked from a server
that has imported torch, Lightning and MLflow, so a run begins with its own work.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import mkdtemp

import numpy as np

from archfront.search.cli import main as archfront
from archfront.search.jobs.perform import MEASURING_IMPORTS, TRAINING_IMPORTS
from archfront.search.records.evaluation import Evaluation, Trained, is_below_top
from archfront.search.records.paths import StudyPaths
from archfront.search.records.store import reading
from archfront.search.results.results import Results

WORDS = (
    "experiment=digits",
    "data.train=60",
    "data.val=60",
    "data.test=60",
    "space.backbones=test_resnet",
    "space.exclude=[]",
    "space.heads=avg",
    "space.input_sizes=8,16",
    "space.recipe.lr=0.001,0.003,0.01",
    "space.recipe.augment=none",
    "sampler=random",
    "task.epochs=2",
    "budget.rungs=[1,2]",
    "hardware.runtime=eager",
    "hardware.max_seconds=0.1",
    "hardware.limits.latency_ms=null",
    "engine.threads=1",
)
IMPORTED = (
    "archfront.search.commands.launch",
    "archfront.search.commands.report",
    "archfront.search.tracking.tracker",
    "hydra.compose",
    "matplotlib.pyplot",
    "mlflow.store.tracking.sqlalchemy_store",
    "plotly.graph_objects",
    *TRAINING_IMPORTS,
    *MEASURING_IMPORTS,
)
# Shares of the moments that are drawn.
MOMENTS = {"start": 0.4, "log": 0.3, "end": 0.3}
# Kills in a root and trials of a study, which each further run extends by one.
KILLS_A_ROOT, KILLS_A_STUDY, TRIALS = 4, 2, 2
END_S = 900.0


@dataclass(frozen=True)
class Command:
    """One command on a study.

    Attributes:
        paths: Files of the study.
        trials: Its budget.
        engine: ``inline`` or ``processes``.
    """

    paths: StudyPaths
    trials: int
    engine: str

    @property
    def words(self) -> list[str]:
        """Return the words after ``archfront``."""
        root = self.paths.root
        own = (
            f"engine={self.engine}",
            f"study={self.paths.study}",
            f"tracking.root={root}",
            f"tracking.device_db={root / 'latency.db'}",
            f"budget.trials={self.trials}",
        )
        return ["run", *WORDS, *own, "--plain"]


def _called(words: list[str], log: Path) -> None:
    """Be the command ``archfront``, in a process group of its own."""
    os.setsid()
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.exit(archfront(words))


def _asserted(check: Callable[..., None], given: tuple[object, ...], log: Path) -> None:
    with log.open("ab") as file:
        os.dup2(file.fileno(), 2)
    check(*given)


class Server:
    """Starts processes that have imported everything."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(list(IMPORTED))

    def start(self, function: Callable[..., None], *given: object) -> BaseProcess:
        """Return a process that calls a function of this module."""
        process = self._context.Process(target=function, args=given)
        process.start()
        return process

    def status(self, function: Callable[..., None], *given: object) -> int | None:
        """Return the exit status of a function, which is waited for; None if it does not end."""
        process = self.start(function, *given)
        process.join(END_S)
        if process.exitcode is None:
            process.kill()
        return process.exitcode


def moment(kind: str, rng: np.random.Generator, command: Command) -> Iterator[float]:
    """Yield seconds to wait, until the time to kill has come.

    Args:
        kind: Key of ``MOMENTS``.
        rng: Draws when.
        command: The command, whose study's log is followed.
    """
    if kind == "start":
        yield rng.uniform(0, 2)
        return
    log = command.paths.events
    before = _lines(log)
    wanted = int(rng.integers(1, 12)) if kind == "log" else None
    while True:
        new = _lines(log)[len(before) :]
        if wanted is None and "StudyFinished" in new:
            yield rng.uniform(0, 2)
            return
        if wanted is not None and len(new) >= wanted:
            yield rng.uniform(0, 0.3)
            return
        yield 0.01


def _lines(log: Path) -> list[str]:
    """Return the names of the logged events."""
    if not log.is_file():
        return []
    found = []
    for line in log.read_text(encoding="utf-8").splitlines():
        with contextlib.suppress(ValueError):  # a line that was torn by a kill
            found.append(json.loads(line)["event"])
    return found


def killed(
    server: Server, command: Command, kind: str, rng: np.random.Generator
) -> tuple[str, int]:
    """Run a command and kill it at a drawn moment.

    Returns:
        What was killed, empty if the command ended before, and its process group.
    """
    log = command.paths.root / "commands.log"
    process = server.start(_called, command.words, log)
    assert process.pid is not None
    for seconds in moment(kind, rng, command):
        process.join(seconds)
        if process.exitcode is not None:
            return "", process.pid
    is_group = bool(rng.random() < 0.5)
    try:
        os.killpg(process.pid, signal.SIGKILL) if is_group else process.kill()
    except ProcessLookupError:  # it has no group of its own yet
        process.kill()
    process.join()
    return "group" if is_group else "driver", process.pid


def whole_lines(journal: Path) -> bytes:
    """Return a journal up to the end of its last whole line."""
    content = journal.read_bytes() if journal.is_file() else b""
    return content[: content.rfind(b"\n") + 1]


def check(command: Command, before: bytes, groups: Sequence[int]) -> None:
    """Check what is left of a study that was killed and ran to its end.

    Args:
        command: The command that ended.
        before: The journal when it was killed.
        groups: Process groups that were killed.
    """
    paths = command.paths
    assert whole_lines(paths.journal).startswith(before), "a record was changed"
    results = Results.read(reading(paths, None), paths)
    assert results.state == "finished", results.reason
    rungs = Counter((e.trial, e.rung) for e in results.evaluations)
    assert max(rungs.values()) == 1, "a rung was recorded twice"
    last = {e.trial: e for e in results.evaluations}
    # Those below the top may be trained further, when the budget is raised.
    waiting = [e for trial, e in last.items() if trial in results.waiting and is_below_top(e)]
    assert len(waiting) == len(results.waiting), f"trials without an end: {results.waiting}"
    assert set(last) == set(range(len(last))), f"trials {sorted(last)}"
    assert len(last) >= command.trials, f"{len(last)} trials of {command.trials}"
    for name in ("report.html", "front.json", "front.html", "front.png", "study.yaml"):
        assert (paths.folder / name).is_file(), f"{name} is missing"
    _check_files(paths, list(results.evaluations), waiting)
    _check_mlflow(results, last)
    for group in groups:
        _check_group(group)


def _check_files(
    paths: StudyPaths, evaluations: list[Evaluation], waiting: list[Evaluation]
) -> None:
    for evaluation in evaluations:
        if isinstance(evaluation.outcome, Trained):
            file = paths.folder / evaluation.outcome.predictions
            assert file.is_file(), f"{file} is missing"
    outcomes = [e.outcome for e in waiting if isinstance(e.outcome, Trained)]
    wanted = {paths.folder / outcome.resume for outcome in outcomes if outcome.resume is not None}
    assert set(paths.folder.rglob("resume.pt")) == wanted, "other states than of what waits"


def _check_mlflow(results: Results, last: dict[int, Evaluation]) -> None:
    from archfront.search.tracking.tracker import PARENT_TAG, STUDY_TAG, TRIAL_TAG, Tracker

    header = results.begun()
    client = Tracker(results.paths, None, header.experiment).client
    experiment = client.get_experiment_by_name(header.experiment)
    query = f"tags.`{STUDY_TAG}` = '{header.id}'"
    runs = client.search_runs([experiment.experiment_id], query, max_results=1000)
    parents = [run for run in runs if TRIAL_TAG not in run.data.tags]
    assert [run.info.status for run in parents] == ["FINISHED"], "the study's own run"
    children = {run.data.tags[TRIAL_TAG]: run for run in runs if TRIAL_TAG in run.data.tags}
    wanted = {f"{e.trial}:{e.rung}:{e.attempt}": e for e in last.values()}
    assert len(runs) == len(children) + 1, "a trial has two runs"
    assert set(children) == set(wanted), f"runs {sorted(children)}, trials {sorted(wanted)}"
    for key, evaluation in wanted.items():
        run = children[key]
        assert run.data.tags[PARENT_TAG] == parents[0].info.run_id
        assert run.info.status == ("FAILED" if evaluation.kind == "failed" else "FINISHED")
        assert run.data.tags["archfront.outcome"] == evaluation.kind
        # A candidate is given up where the driver died three times before it was measured.
        measured = evaluation.measurement
        assert measured is not None or evaluation.kind == "failed", "no measurement"
        latency = None if measured is None else measured.latency.p50_ms
        assert run.data.metrics.get("latency_ms") == latency, "another latency"
        own = [e for e in results.evaluations if e.trial == evaluation.trial]
        metrics = [e.outcome.metric for e in own if isinstance(e.outcome, Trained)]
        points = client.get_metric_history(run.info.run_id, "metric")
        found = sorted((point.step, point.value) for point in points)
        assert found == list(enumerate(metrics)), f"metric {found}, recorded {metrics}"


def _check_group(group: int) -> None:
    """Check that the workers of a killed driver ended by themselves, with 30 s of patience."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.5)
    raise AssertionError("workers of the killed driver are left")


def round_of(
    server: Server, command: Command, rng: np.random.Generator
) -> tuple[list[str], list[str]]:
    """Kill a command once or twice and run it to its end; return the kills and what is wrong."""
    root, told = command.paths.root, []
    before, wrong = b"", []
    groups = []
    for _ in range(1 + int(rng.random() < 0.25)):
        kind = str(rng.choice(list(MOMENTS), p=list(MOMENTS.values())))
        what, group = killed(server, command, kind, rng)
        groups.append(group)
        content = whole_lines(command.paths.journal)
        if not content.startswith(before):
            wrong.append("a record was changed by the run that was killed")
        before = content
        if what:
            told.append(f"{kind}, {what}, {command.engine}")
    log = root / "commands.log"
    status = server.status(_called, command.words, log)
    if status not in (0, 3, 4):
        wrong.append(f"the same command ended with {status}")
    for words in (["list"], ["report", command.paths.study]):
        status = server.status(_called, [*words, "--root", str(root)], log)
        if status != 0:
            wrong.append(f"{words[0]} ended with {status}")
    if server.status(_asserted, check, (command, before, groups), log) != 0:
        wrong.append("a check failed")
    return told, wrong


def main() -> int:
    """Kill until there were enough kills; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=40, help="kills (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed (default: %(default)s)")
    parser.add_argument(
        "--with-workers", type=float, default=0.2, help="share of studies with worker processes"
    )
    parser.add_argument("--root", type=Path, help="where the roots are kept (default: removed)")
    asked = parser.parse_args()
    base = Path(mkdtemp()) if asked.root is None else asked.root
    rng, server = np.random.default_rng(asked.seed), Server()
    kills: Counter[str] = Counter()
    n_wrong = n_studies = n_roots = 0
    while kills.total() < asked.kills:
        n_roots += 1
        root, of_root = base / f"root-{n_roots}", 0
        root.mkdir(parents=True)
        while of_root < KILLS_A_ROOT and kills.total() < asked.kills:
            n_studies += 1
            paths, trials = StudyPaths(root, f"study-{n_studies}"), TRIALS
            engine = "processes" if rng.random() < asked.with_workers else "inline"
            for _ in range(KILLS_A_STUDY):
                begun = time.monotonic()
                told, wrong = round_of(server, Command(paths, trials, engine), rng)
                kills.update(told)
                of_root, trials = of_root + len(told), trials + 1
                n_wrong += bool(wrong)
                words = f"{'; '.join(told) or 'no kill'}: {'; '.join(wrong) or 'nothing lost'}"
                seconds = time.monotonic() - begun
                print(f"{kills.total():3} {root.name} {paths.study} {words} ({seconds:.0f} s)")
                sys.stdout.flush()
    for kind, count in sorted(kills.items()):
        print(f"{count:3} {kind}")
    print(
        f"{kills.total()} kills in {n_studies} studies of {n_roots} roots, seed {asked.seed}: "
        f"something was lost after {n_wrong}"
    )
    if asked.root is None and not n_wrong:
        shutil.rmtree(base)
    return 1 if n_wrong else 0


if __name__ == "__main__":
    sys.exit(main())
