"""The action ``latency measure``: measuring a space."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from archfront.search.cli import main
from archfront.search.latency.database import LatencyTable
from archfront.search.latency.device import fingerprint
from archfront.search.prepare import make_engine
from archfront.trainers.spec import Architecture
from tests.support import crashing_measure
from tests.support.command import Output, fails, succeeds
from tests.support.latency_answers import WORDS, Answers


@pytest.fixture(autouse=True)
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LatencyTable:
    """Work in an empty folder, with a table of its own."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.delenv("ARCHFRONT_ROOT", raising=False)
    monkeypatch.setenv("ARCHFRONT_DEVICE_DB", str(tmp_path / "latency.db"))
    return LatencyTable(tmp_path / "latency.db")


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Answers:
    found = Answers()
    monkeypatch.setattr(make_engine, "perform", found)
    return found


class TestMeasure:
    @pytest.mark.slow
    def test_a_real_network_is_measured_and_shown(
        self, capsys: Output, table: LatencyTable
    ) -> None:
        words = [*WORDS, "space.backbones=test_resnet", "hardware.max_seconds=0.1"]
        words += ["space.input_sizes=32", "hardware.repeats=5", "hardware.warmup=1"]
        text = succeeds(capsys, "latency", *words, "--classes", "10", "--channels", "1")
        assert "1 measured" in text
        (entry,) = table.entries()
        architecture = Architecture("classification", "test_resnet", "avg", 32, 10, 1)
        assert entry.key.architecture == architecture
        assert entry.key.device == fingerprint().id
        shown = json.loads(succeeds(capsys, "latency", "show", "--json"))
        assert shown[0]["latency_ms"] == entry.measurement.latency.p50_ms
        assert not Path("mlruns").exists()

    @pytest.mark.slow
    def test_every_architecture_is_measured_once(
        self, capsys: Output, answers: Answers, table: LatencyTable
    ) -> None:
        text = succeeds(capsys, "latency", *WORDS)
        assert "space     6 architectures: 0 remembered, 0 known to fail, 6 to measure" in text
        assert "4 measured (2 unstable), 0 remembered before, 2 failed, 0 left." in text
        assert "failed, export: 2\n  test_vit@32 avg: test_vit cannot be exported." in text
        assert "many lines" not in text
        assert len(answers.asked) == 6
        assert (len(table.entries()), len(table.failures())) == (4, 2)
        text = succeeds(capsys, "latency", *WORDS)
        assert "4 remembered, 2 known to fail, 0 to measure now" in text
        assert len(answers.asked) == 6

    @pytest.mark.slow
    def test_ctrl_c_keeps_what_is_done_and_the_same_words_go_on(
        self, capsys: Output, answers: Answers, table: LatencyTable
    ) -> None:
        answers.stop_at = 3
        assert main(["latency", *WORDS]) == 130
        text = capsys.readouterr().out
        assert "the same command goes on" in text
        assert "3 left" in text
        assert len(table.entries()) + len(table.failures()) == 3
        before, answers.stop_at = list(answers.asked), None
        succeeds(capsys, "latency", *WORDS)
        assert len(answers.asked) == len(set(answers.asked)) == 6
        assert answers.asked[:3] == before

    @pytest.mark.slow
    def test_failures_are_tried_again_when_asked(self, capsys: Output, answers: Answers) -> None:
        succeeds(capsys, "latency", *WORDS)
        answers.asked.clear()
        succeeds(capsys, "latency", *WORDS, "--retry-failed")
        assert answers.asked == ["test_vit@32 avg", "test_vit@64 avg"]
        answers.asked.clear()
        succeeds(capsys, "latency", *WORDS, "--again")
        assert sorted(answers.asked) == [
            f"test_{name}@{size} avg" for name in ("efficientnet", "resnet") for size in (32, 64)
        ]

    @pytest.mark.slow
    def test_a_limit_measures_only_so_many_more(self, capsys: Output, answers: Answers) -> None:
        for n_asked in (2, 4, 6, 6):
            succeeds(capsys, "latency", *WORDS, "--limit", "2")
            assert len(answers.asked) == n_asked

    def test_a_sample_is_the_same_one_again(self, capsys: Output, answers: Answers) -> None:
        succeeds(capsys, "latency", *WORDS, "--sample", "3", "--seed", "1")
        assert len(answers.asked) == 3
        succeeds(capsys, "latency", *WORDS, "--sample", "3", "--seed", "1")
        assert len(answers.asked) == 3

    @pytest.mark.slow
    def test_a_dry_run_measures_nothing_and_tells_the_time(
        self, capsys: Output, answers: Answers
    ) -> None:
        assert "not known before the first" in succeeds(capsys, "latency", *WORDS, "--dry-run")
        succeeds(capsys, "latency", *WORDS, "--limit", "1")
        text = succeeds(capsys, "latency", *WORDS, "--dry-run")
        assert "time      about 10 s, 2 s each" in text
        assert len(answers.asked) == 1

    def test_crashes_in_a_row_stop_it_and_say_how_to_go_on(
        self, capsys: Output, answers: Answers, table: LatencyTable
    ) -> None:
        """A broken runtime would make every architecture one that cannot be measured."""
        answers.crashing = "the runtime is broken"
        assert main(["latency", *WORDS, "budget.max_failures=3"]) == 1
        shown = capsys.readouterr()
        assert "3 architectures failed in a row (budget.max_failures=3)" in shown.err
        assert "--retry-failed tries them again" in shown.err
        assert len(table.failures()) == 3
        answers.crashing = ""
        succeeds(capsys, "latency", *WORDS, "--retry-failed")
        assert {entry.failed.kind for entry in table.failures()} == {"export"}

    def test_a_full_disk_ends_it_and_no_architecture_is_held_responsible(
        self, capsys: Output, answers: Answers, table: LatencyTable
    ) -> None:
        answers.crashing = "no space left on device"
        assert main(["latency", *WORDS]) == 1
        shown = capsys.readouterr()
        assert "The disk is full: RuntimeError: no space left on device" in shown.err
        assert table.failures() == []
        assert len(answers.asked) == 2

    @pytest.mark.slow
    def test_a_worker_that_dies_is_a_remembered_failure_and_not_the_end(
        self, capsys: Output, table: LatencyTable, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(make_engine, "perform", crashing_measure.perform)
        words = [*WORDS, "engine=processes", "space.input_sizes=32"]
        assert "2 measured (0 unstable)" in succeeds(capsys, "latency", *words)
        (failure,) = table.failures()
        assert (failure.key.architecture.backbone, failure.failed.kind) == ("test_vit", "crash")
        assert "SIGSEGV" in failure.failed.message
        assert "1 known to fail, 0 to measure now" in succeeds(capsys, "latency", *words)

    @pytest.mark.slow
    def test_classes_and_channels_come_from_data_that_is_named(
        self, capsys: Output, answers: Answers, table: LatencyTable
    ) -> None:
        succeeds(capsys, "latency", *WORDS, "data=digits", "--limit", "1")
        (entry,) = table.entries()
        assert (entry.key.architecture.classes, entry.key.architecture.channels) == (10, 1)
        words = ("latency", *WORDS, "data=digits", "--classes", "3", "--channels", "3")
        assert "take the place of the data" in fails(capsys, 2, *words)

    def test_another_device_cannot_be_measured(self, capsys: Output, answers: Answers) -> None:
        text = fails(capsys, 2, "latency", *WORDS, "hardware.device=phone")
        assert text.startswith("hardware.device=phone: only this machine can be measured.")
        assert answers.asked == []

    def test_wrong_words_are_all_told(self, capsys: Output) -> None:
        text = fails(capsys, 2, "latency", *WORDS, "hardware.threads=no", "space.heads=x")
        assert "hardware.threads: a whole number" in text
        assert "Unknown head 'x'" in text
