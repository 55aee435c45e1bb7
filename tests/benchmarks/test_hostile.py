"""The set of hostile files: that its traps are sprung by what springs them, and a few of them.

The set forks, and so runs in programs that have no threads.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import hostile
import hostile_exports
import hostile_files
import pytest
from PIL import Image

from tests.support.programs import Programs

BEGIN = f"""\
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {str(Path(hostile.__file__).parent)!r})
import hostile, hostile_exports, hostile_files
from hostile import Case, Traps, calling, data, loading, ran
folder = Path(sys.argv[1])
traps = Traps(folder / "traps")
traps.set()

def found(call):
    return ran(Case("one", call), traps, folder / "output")
"""
SPRUNG = """
def fails():
    raise KeyError("no error of ours")

print(found(lambda: traps.marker.touch() or 0).faults)
print(found(lambda: traps.victim.write_text("") and 0).faults)
print(found(lambda: print(traps.secret.read_text()) or 0).faults)
print(found(lambda: print(chr(27) + "[2J") or 0).faults)
print(found(fails).faults)
print(found(lambda: os.kill(os.getpid(), signal.SIGKILL) or 0).faults)
for status in (0, 1, 2):
    print(found(lambda: status).faults)
hostile.MEMORY_MB = 1
print(found(lambda: 0).faults)
hostile.MEMORY_MB, hostile.CLOCK_S = 1000, 0.1
print(found(lambda: signal.pause() or 0).faults)
"""
REFUSED = """
from PIL import Image
picture, programs = folder / "picture.png", folder / "programs"
Image.new("RGB", (20, 10)).save(picture)
programs.mkdir()
made = hostile_exports.exports(traps.secret, traps.marker, programs)
for name in ("manifest: a pipe", "hf: code beside it", "onnx: /dev/zero"):
    made[name](folder / name[:4])
    one = found(calling("predict", str(folder / name[:4]), str(picture)))
    print(one.faults, one.said.replace(str(folder), "HERE")[:60])
make = hostile_files.texts(traps.secret)["voc 0.xml"]["a secret as entity"]
ref = data(folder / "voc", "voc", "0.xml", make)
one = found(loading("voc", ref).call)
print(one.faults, "declares entities" in (folder / "output").read_text())
"""


@pytest.fixture(name="said")
def _said(programs: Programs, tmp_path: Path, request: pytest.FixtureRequest) -> list[str]:
    """Return the lines of a program."""
    imports = ("archfront.search.cli", "numpy", "onnx", "PIL.Image")
    code = BEGIN + request.param
    return programs.run(code, str(tmp_path), imports=imports, sees_repository=True).splitlines()


@pytest.mark.parametrize("said", [SPRUNG], indirect=True)
def test_what_must_not_be_is_found_and_nothing_else(said: list[str]) -> None:
    assert said == [
        "('ran foreign code',)",
        "('changed a file',)",
        "('read a secret',)",
        "('commanded the terminal',)",
        "('no error of ours',)",
        "('no error of ours',)",
        *["()"] * 3,
        "('took 1 GB',)",
        "('hung', 'no error of ours')",
    ]


@pytest.mark.parametrize("said", [REFUSED], indirect=True)
def test_hostile_files_are_refused(said: list[str]) -> None:
    assert said == [
        "() archfront: HERE/mani/manifest.json cannot be read: it is a n",
        "() archfront: HERE/hf: /hf is a program (hf), and its manifest.",
        "() archfront: HERE/onnx/onnx/model.onnx is a link to /dev/zero,",
        "() True",
    ]


@pytest.mark.parametrize(
    ("bits", "color", "mode"),
    [(1, 0, "1"), (8, 0, "L"), (16, 0, "I;16"), (8, 2, "RGB"), (1, 3, "P"), (8, 6, "RGBA")],
)
def test_images_of_any_size_can_be_opened(bits: int, color: int, mode: str) -> None:
    with Image.open(BytesIO(hostile_files.png(40, bits=bits, color=color))) as image:
        image.load()
        assert (image.size, image.mode) == ((40, 40), mode)


def test_there_are_enough_cases(tmp_path: Path) -> None:
    traps = hostile.Traps(tmp_path)
    (tmp_path / "programs").mkdir()
    n_exports = len(hostile_exports.exports(traps.secret, traps.marker, tmp_path / "programs"))
    n_texts = sum(map(len, hostile_files.texts(traps.secret).values()))
    n_images = len(hostile_files.images(traps.marker))
    assert n_exports + n_texts + n_images + 2 * len(hostile_files.configurations()) > 90
