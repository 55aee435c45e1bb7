"""What archfront does with files that somebody made to do harm.

    python benchmarks/hostile.py [--only TEXT] [--json FILE]

Every case is a file or a folder in a temporary folder and one call: ``archfront predict`` of an
export or an image, ``load`` of a data set, ``archfront run --cfg job`` of a configuration.
Each runs in a process of its own, and fails when

- a marker appears that only foreign code makes, or a victim's file is changed,
- the output has what a secret file holds,
- it takes 30 s of processor time, or 300 s by the clock,
- it takes 1 GB of memory (the largest process, with what it had when it was forked),
- it ends by a traceback or a signal instead of one error of ours or an answer.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import hostile_exports
import hostile_files
from PIL import Image

from archfront.search.cli import main as archfront
from archfront.trainers.data import DataRef, load
from archfront.trainers.errors import ArchfrontError

CPU_S, CLOCK_S, MEMORY_MB = 30, 300, 1000
SECRET, INTACT = "the secret of a file", "the content of a victim, 64 bytes long " * 2
REF = DataRef(
    reader="folder",
    root=None,
    name=None,
    download=False,
    train=0.5,
    val=0.25,
    test=0.25,
    split_seed=0,
    channels=None,
    on_error="stop",
    memory_mb=100,
)


@dataclass(frozen=True)
class Case:
    """One hostile file: its name, and the call that meets it, which returns an exit status."""

    name: str
    call: Callable[[], int]


@dataclass(frozen=True)
class Found:
    """What a case did.

    Attributes:
        name: Of the case.
        clock_s: Seconds by the clock.
        cpu_s: Processor time of the process and those that it waited for.
        peak_mb: Memory of the largest of them, in 10^6 bytes.
        said: The last line of its output.
        faults: What it must not do and did.
    """

    name: str
    clock_s: float
    cpu_s: float
    peak_mb: float
    said: str
    faults: tuple[str, ...]


@dataclass(frozen=True)
class Traps:
    """What only foreign code makes, what nothing may change, and what nothing may read."""

    folder: Path

    @property
    def marker(self) -> Path:
        """Return the file that only foreign code makes."""
        return self.folder / "marker"

    @property
    def victim(self) -> Path:
        """Return the file that nothing may change."""
        return self.folder / "victim"

    @property
    def secret(self) -> Path:
        """Return the file that nothing may read."""
        return self.folder / "secret.txt"

    def set(self) -> None:
        """Write the files."""
        self.folder.mkdir(exist_ok=True)
        self.victim.write_text(INTACT)
        self.secret.write_text(SECRET)

    def sprung(self, output: str) -> Iterator[str]:
        """Yield what was done to the files, and set them again."""
        if self.marker.exists():
            self.marker.unlink()
            yield "ran foreign code"
        if self.victim.read_text() != INTACT:
            self.victim.write_text(INTACT)
            yield "changed a file"
        if SECRET in output:
            yield "read a secret"


def cases(folder: Path, traps: Traps) -> Iterator[Case]:
    """Yield every case, its files written."""
    picture, programs = folder / "picture.png", folder / "programs"
    Image.new("RGB", (20, 10)).save(picture)
    programs.mkdir()
    words = [sys.executable, hostile_exports.__file__, programs, traps.victim, traps.marker]
    subprocess.run(words, check=True, capture_output=True)
    exports = hostile_exports.exports(traps.secret, traps.marker, programs)
    for number, (name, make) in enumerate(exports.items()):
        make(folder / f"export-{number}")
        yield predicting(f"export, {name}", folder / f"export-{number}", picture)
    hostile_exports.onnx_export(hostile_exports.GOOD)(folder / "right")
    yield predicting("export, a right one", folder / "right", picture)
    for number, (name, make) in enumerate(hostile_files.images(traps.marker).items()):
        make(file := folder / f"image-{number}.png")
        yield predicting(f"image, {name}", folder / "right", file)
    for about, made in hostile_files.texts(traps.secret).items():
        reader, file_name = about.split()
        for number, (name, make) in enumerate(made.items()):
            root = folder / f"{reader}-{number}"
            yield loading(f"{reader}, {name}", data(root, reader, file_name, make))
    for number, (name, make) in enumerate(hostile_files.configurations().items()):
        place = folder / f"configuration-{number}" / "data"
        place.mkdir(parents=True)
        make(place / "part.yaml")
        run = ["run", "--cfg", "job"]
        yield Case(f"--config, {name}", calling(*run, "--config", str(place / "part.yaml")))
        yield Case(
            f"--config-dir, {name}", calling(*run, "data=part", "--config-dir", str(place.parent))
        )
    for flag, value in (("--threads", 10**6), ("--threads", -(10**18)), ("--min-score", "nan")):
        words = ["predict", str(folder / "right"), str(picture), flag, str(value)]
        yield Case(f"{flag} {value}", calling(*words))


def calling(*words: str) -> Callable[[], int]:
    return lambda: archfront(list(words))


def predicting(name: str, export: Path, image: Path) -> Case:
    return Case(name, calling("predict", str(export), str(image)))


def loading(name: str, ref: DataRef) -> Case:
    def call() -> int:
        try:
            load(ref)
        except ArchfrontError as error:
            print(error)
            return 1
        return 0

    return Case(name, call)


def data(root: Path, reader: str, file_name: str, make: hostile_files.Make) -> DataRef:
    """Write a data set with one hostile file, and return how to load it."""
    images = root / {"voc": "JPEGImages", "yolo": "images", "coco": "images"}.get(reader, "")
    annotations = root / "Annotations" if reader == "voc" else root
    for place in (images, annotations):
        place.mkdir(parents=True, exist_ok=True)
    for number in range(4):
        Image.new("RGB", (20, 10), (number, 0, 0)).save(images / f"{number}.png")
    make(annotations / file_name)
    target = "label" if reader == "csv" else "outlines" if reader == "coco" else "boxes"
    named = None if reader in ("voc", "csv") else str(annotations / file_name)
    return replace(REF, reader=reader, root=str(root), target=target, annotations=named)


def ran(case: Case, traps: Traps, output: Path) -> Found:
    """Run a case in a process of its own."""
    started = time.monotonic()
    process = os.fork()
    if process == 0:
        os.setsid()
        os._exit(in_child(case, output))
    while True:
        ended, status, used = os.wait4(process, os.WNOHANG)
        clock_s = time.monotonic() - started
        if ended or clock_s > CLOCK_S:
            break
        time.sleep(0.02)
    if not ended:
        os.killpg(process, signal.SIGKILL)
        _, status, used = os.wait4(process, 0)
    text = output.read_text(errors="replace")
    cpu_s, peak_mb = used.ru_utime + used.ru_stime, used.ru_maxrss / 1e3
    faults = list(traps.sprung(text))
    faults += ["hung"] if not ended or cpu_s > CPU_S else []
    faults += ["took 1 GB"] if peak_mb > MEMORY_MB else []
    faults += ["no error of ours"] if status not in (0, 256, 512) or "Traceback (" in text else []
    faults += ["commanded the terminal"] if "\x1b[2J" in text else []
    said = (text.strip().splitlines() or [""])[-1]
    return Found(case.name, clock_s, cpu_s, peak_mb, said, tuple(faults))


def in_child(case: Case, output: Path) -> int:
    with output.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        sys.stdout = sys.stderr = file
        try:
            return case.call()
        except BaseException:
            traceback.print_exc()
            return 3
        finally:
            file.flush()


def main() -> int:
    """Run the cases and return 1 if one of them did what it must not do."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="cases whose name has this")
    parser.add_argument("--json", type=Path, help="write what was found")
    arguments = parser.parse_args()
    found = []
    with TemporaryDirectory() as temporary:
        # No key of the user's is read or made.
        os.environ["XDG_CONFIG_HOME"] = str(Path(temporary) / "configuration")
        traps = Traps(Path(temporary) / "traps")
        traps.set()
        for case in cases(Path(temporary), traps):
            if arguments.only not in case.name:
                continue
            one = ran(case, traps, Path(temporary) / "output")
            found.append(one)
            verdict = ", ".join(one.faults).upper() or "ok"
            print(
                f"{one.name:<52} {one.clock_s:6.1f} s {one.peak_mb:5.0f} MB  {verdict}", flush=True
            )
            print(f"    {one.said[:160]}", flush=True)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps([asdict(one) for one in found], indent=1) + "\n")
    bad = [one for one in found if one.faults]
    print(
        f"{len(found)} cases, {len(bad)} bad; at most {max(one.clock_s for one in found):.1f} s "
        f"({max(one.cpu_s for one in found):.1f} s of processor time) and "
        f"{max(one.peak_mb for one in found):.0f} MB"
    )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
