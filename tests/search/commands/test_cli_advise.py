"""``archfront advise``: the expected front, from real measurements of small networks."""

from __future__ import annotations

import json
import shutil
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from archfront.search.cli import main
from archfront.search.latency.database import LatencyTable
from tests.support.command import Output, fails, wrong_use

WORDS = (
    "space.backbones=lcnet_050,mobilenetv3_small_050,mobilenetv3_small_075,test_resnet",
    "space.exclude=[]",
    "hardware=cpu_eager",
    "hardware.max_seconds=0.1",
    "engine=inline",
)


@pytest.fixture
def db(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Set the table of latencies of this test and its working folder."""
    path = tmp_path / "latency.db"
    monkeypatch.setenv("ARCHFRONT_DEVICE_DB", str(path))
    monkeypatch.chdir(tmp_path)
    return path


def advise(capsys: Output, *words: str) -> str:
    """Return what is printed; the progress goes to standard error."""
    assert main(["advise", *WORDS, *words]) == 0
    return capsys.readouterr().out


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return the folder in which the first advice measured, and what it printed."""
    folder = tmp_path_factory.mktemp("advised")
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as shown:
        patch.setenv("ARCHFRONT_DEVICE_DB", str(folder / "latency.db"))
        patch.chdir(folder)
        assert main(["advise", *WORDS, "--html", "advice.html"]) == 0
    return folder, shown.getvalue()


@pytest.fixture
def advised(first: tuple[Path, str], db: Path) -> str:
    """Return what the first advice printed; the working folder has what it left."""
    folder, shown = first
    shutil.copytree(folder, db.parent, dirs_exist_ok=True)
    return shown


@pytest.mark.slow
def test_the_front_and_what_is_not_known_are_told(advised: str, db: Path, capsys: Output) -> None:
    shown = advised
    assert "Expected front: published ImageNet-1k top-1 against p50 of eager fp32" in shown
    assert "What this does not know:" in shown
    assert "archfront run finds out" in shown
    assert "plotly" in Path("advice.html").read_text(encoding="utf-8")
    measured = LatencyTable(db).entries()
    assert len(measured) >= 3

    # What was measured is not measured again, and the same front comes out as records.
    rows = json.loads(advise(capsys, "--json"))
    assert [entry.measured_at for entry in LatencyTable(db).entries()] == [
        entry.measured_at for entry in measured
    ]
    assert all(row["backbone"] in shown for row in rows)
    times = [row["latency_ms"] for row in rows]
    accuracies = [row["published_top1"] for row in rows]
    assert times == sorted(times)
    assert accuracies == sorted(accuracies)


@pytest.mark.slow
@pytest.mark.usefixtures("advised")
def test_what_is_over_a_limit_is_not_on_the_front(capsys: Output) -> None:
    rows = json.loads(advise(capsys, "--json"))
    largest = max(row["params_m"] for row in rows)
    shown = advise(capsys, f"hardware.limits.params_m={largest / 1000}")
    assert "Nothing that was measured is within the limits." in shown


class TestWrongUse:
    @pytest.mark.slow
    @pytest.mark.usefixtures("db")
    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["--minutes", "0"], "--minutes: a number above 0 is needed; got 0."),
            (["hardware.runtime=onnxrt"], "Unknown runtime 'onnxrt'. Did you mean 'onnxruntime'"),
            (["space.backbones=resnt18"], "no timm architecture is called 'resnt18'"),
            (["hardware.device=Pixel"], "advise measures on this machine. Leave it null."),
            (["--html", "there/is/no/folder.html"], "there is no folder"),
            (["--classes", "0"], "--classes: a whole number of at least 1 is needed; got 0."),
        ],
        ids=["minutes", "runtime", "backbone", "device", "folder", "classes"],
    )
    def test_is_one_clear_error(self, capsys: Output, words: list[str], message: str) -> None:
        assert message in fails(capsys, 2, "advise", *words)

    @pytest.mark.usefixtures("db")
    def test_a_space_without_published_accuracies_says_what_to_do(self, capsys: Output) -> None:
        words = ["space.backbones=aimv2_*", "space.params_m_max=null", "space.macs_g_max=null"]
        message = fails(capsys, 2, "advise", *words)
        assert "no backbone that is left has a published accuracy" in message
        assert "archfront run" in message

    def test_a_number_that_is_none_is_told_by_the_parser(self, capsys: Output) -> None:
        assert "--minutes" in wrong_use(capsys, "advise", "--minutes", "many")
