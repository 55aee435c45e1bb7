"""Races: archfront against a script, at the same time, each on a core of its own.

What ``transfer_race.py``, ``dense_race.py`` and ``scratch_race.py`` share: a stratified share of a
folder of images, and both processes with one thread each. ``race_records.py`` says what
archfront's records tell, and the aims; ``race_results.py`` writes the file of results.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
from race_records import STUDY

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
# One thread of everything that may start some.
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
# A process is ended when it took so much longer than its minutes: it hangs.
LONGER, STARTING_S = 1.5, 180.0
ENDED_BY_FORCE = -signal.SIGKILL

Row = dict[str, Any]


@dataclass(frozen=True)
class Racer:
    """A command that races.

    Attributes:
        name: ``archfront`` or ``script``.
        command: The command and its words.
        log: File for what it prints; its errors go to ``log`` with ``.err`` behind it.
    """

    name: str
    command: tuple[str, ...]
    log: Path


@dataclass(frozen=True)
class Ended:
    """How a racer ended.

    Attributes:
        started: Seconds since the epoch at which its process was started.
        seconds: From then to its end.
        status: Exit status; ``ENDED_BY_FORCE`` where it had to be ended.
        log: File of what it printed.
    """

    started: float
    seconds: float
    status: int
    log: Path

    def lines(self) -> list[Row]:
        """Return the JSON objects that it printed, one a line; other lines are left out."""
        rows = []
        for text in self.log.read_text(encoding="utf-8").splitlines():
            with suppress(ValueError):
                rows.append(json.loads(text))
        return [row for row in rows if isinstance(row, dict)]

    def as_row(self) -> Row:
        """Return the part that belongs into the file of results."""
        return {"ended_s": round(self.seconds, 1), "status": self.status}


def cores_of(n_racers: int, turn: int) -> list[int]:
    """Return a core for each racer; which core is whose changes with the turn."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < n_racers:
        sys.exit(f"{n_racers} racers need a core each, and this process may use {len(cores)}.")
    return [cores[(turn + n) % n_racers] for n in range(n_racers)]


def raced(racers: Sequence[Racer], minutes: float, *, turn: int = 0) -> dict[str, Ended]:
    """Run all racers at the same time and return how each ended, by name."""
    limit_s = LONGER * 60 * minutes + STARTING_S
    found: dict[str, Ended] = {}
    with _processes() as processes:
        for racer, core in zip(racers, cores_of(len(racers), turn), strict=True):
            processes[racer.name] = _started(racer, core), time.time(), racer
        while waiting := [name for name in processes if name not in found]:
            time.sleep(0.02)
            for name in waiting:
                process, started, racer = processes[name]
                status, seconds = process.poll(), time.time() - started
                if status is None and seconds > limit_s:
                    _end(process)
                    status = ENDED_BY_FORCE
                if status is not None:
                    found[name] = Ended(started, seconds, status, racer.log)
    return found


Started = tuple["subprocess.Popen[bytes]", float, Racer]


@contextmanager
def _processes() -> Iterator[dict[str, Started]]:
    """Give a table of processes, and end what still runs of them when the block ends."""
    processes: dict[str, Started] = {}
    try:
        yield processes
    finally:
        for process, _, _ in processes.values():
            if process.poll() is None:
                _end(process)


def _started(racer: Racer, core: int) -> subprocess.Popen[bytes]:
    path = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "MLFLOW_DISABLE_TELEMETRY": "true"}
    environment |= dict.fromkeys(THREADS, "1")
    racer.log.parent.mkdir(parents=True, exist_ok=True)
    errors = racer.log.with_name(racer.log.name + ".err")
    with racer.log.open("wb") as output, errors.open("wb") as error_output:
        process = subprocess.Popen(
            racer.command,
            stdout=output,
            stderr=error_output,
            env=environment,
            start_new_session=True,  # so that its workers end with it
        )
    os.sched_setaffinity(process.pid, {core})
    return process


def _end(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def archfront(folder: Path, words: Sequence[str], *, minutes: float, seed: int) -> Racer:
    """Return the racer of an archfront study with one worker and one thread.

    Its memory of latencies is its own and empty.
    """
    (folder / "device").mkdir(parents=True, exist_ok=True)
    given = (
        f"seed={seed}",
        f"study={STUDY}",
        f"budget.minutes={minutes:g}",
        "engine.workers=1",
        "engine.threads=1",
        "hardware.threads=1",
        f"tracking.root={folder / 'root'}",
        f"tracking.device_db={folder / 'device' / 'latency.db'}",
    )
    command = (sys.executable, "-m", "archfront.search.cli", "run", "--plain", *words, *given)
    return Racer("archfront", command, folder / "archfront.log")


def script(folder: Path, name: str, *words: str) -> Racer:
    """Return the racer of a script of this folder."""
    return Racer("script", (sys.executable, str(HERE / name), *words), folder / "script.log")


def listed(values: Sequence[Any]) -> str:
    """Return a list as a word of archfront has it."""
    return f"[{','.join(map(str, values))}]"


def quota(counts: Sequence[int], n_images: int) -> list[int]:
    """Return how many images of each class a share has: in proportion, at least one of each.

    What rounding leaves over goes to the classes with the largest remainders; what the rarest take
    beyond their proportion is the commonest's.
    """
    exact = np.array(counts) * n_images / sum(counts)
    taken = np.clip(np.floor(exact).astype(int), 1, counts)
    for place in np.argsort(np.floor(exact) - exact, kind="stable"):
        if taken.sum() < n_images and taken[place] < counts[place]:
            taken[place] += 1
    while taken.sum() > max(n_images, len(taken)):
        taken[taken.argmax()] -= 1
    return [int(n) for n in taken]


def shared(source: Path, target: Path, sizes: Mapping[str, int | None], seed: int = 0) -> Path:
    """Return a folder with a stratified share of some splits; the source where all is wanted.

    Args:
        source: Has a folder per split, each with a folder of images per class.
        target: Where the images are copied to; one that is there already is left as it is.
        sizes: Images of each split; None for all of it. Other splits are left out.
        seed: Which images are drawn.
    """
    for split in sizes:
        if not (source / split).is_dir():
            wanted = " and ".join(sizes)
            sys.exit(f"{source} has no folder {split!r}. Give a folder with {wanted}.")
    if all(size is None for size in sizes.values()):
        return source
    if target.is_dir():
        return target
    part = target.with_name(target.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    rng = np.random.default_rng(seed)
    for split, size in sizes.items():
        classes = sorted(p for p in (source / split).iterdir() if p.is_dir())
        files = [sorted(p for p in folder.iterdir() if p.is_file()) for folder in classes]
        n_images = sum(map(len, files))
        if size is not None and size > n_images:
            sys.exit(f"{split} of {source} has {n_images} images and {size} are needed.")
        for folder, found, n in zip(
            classes, files, quota([*map(len, files)], size or n_images), strict=True
        ):
            place = part / split / folder.name
            place.mkdir(parents=True)
            for index in sorted(rng.permutation(len(found))[:n]):
                shutil.copy(found[index], place)
    part.replace(target)
    return target


def absolute(text: str) -> Path:
    """Return a path that holds in any folder."""
    return Path(text).expanduser().absolute()


def add_common(parser: argparse.ArgumentParser, out: str, minutes: Sequence[float]) -> None:
    """Add the options that every race takes."""
    parser.add_argument("--data", type=absolute, required=True, help="folder of the images")
    parser.add_argument("--minutes", type=float, nargs="+", default=list(minutes))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--word", action="append", default=[], help="one more for archfront run")
    parser.add_argument("--folder", type=absolute, help="for files (default: a new temporary one)")
    parser.add_argument("--out", type=Path, default=RESULTS / out)


def add_shares(parser: argparse.ArgumentParser) -> None:
    """Add the sizes of a stratified share."""
    parser.add_argument("--train-images", type=int, help="a stratified share (default: all)")
    parser.add_argument("--val-images", type=int, help="the same of the validation images")


def folder_of(options: argparse.Namespace, name: str) -> Path:
    """Return the folder for files of a race; what it needs of disk is told by its name."""
    folder = options.folder or Path(mkdtemp(prefix=f"{name}-"))
    folder.mkdir(parents=True, exist_ok=True)
    print(f"files are in {folder}", flush=True)
    return Path(folder)
