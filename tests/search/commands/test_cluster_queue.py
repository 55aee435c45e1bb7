"""What ``archfront cluster check engine=submitit`` prints; nothing is submitted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from archfront.search.cli import main
from archfront.search.commands import queue_text
from archfront.search.engine.node_facts import Question, facts_of
from archfront.search.engine.slurm_commands import read_sinfo
from archfront.search.engine.submitit_check import QueueAnswer, QueueReport

PARTITIONS = read_sinfo(
    "batch*|up|1:00:00|3|64|4096|gpu:2|fast|idle\nnight|down|1:00|1|1|9|(null)|(null)|x"
)
FACTS = facts_of(Question())


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return what the queue is asked; it answers that it fits."""
    found: list[Any] = []

    def answer(needs: Any, *, threads: int) -> QueueReport:
        found.append((needs, threads))
        answers = (
            QueueAnswer("measure", "", None, ("the job 1 did not begin within 120 s.",)),
            QueueAnswer("train", "n7", FACTS, ("has torch 1.0, the driver 2.15",)),
        )
        fits = not needs.measures
        return QueueReport(
            "slurm 22.05.8", tuple(PARTITIONS), answers[:0] if fits else answers, ()
        )

    monkeypatch.setattr(queue_text, "check_queue", answer)
    return found


def test_partitions_nodes_and_what_does_not_fit_are_printed(
    asked: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["data=digits", "engine=submitit", "engine.partition=batch", "engine.threads=3"]
    assert main(["cluster", "check", *words]) == 1
    (needs, threads) = asked[0]
    assert (needs.cluster, needs.partition, threads) == ("slurm", "batch", 3)
    printed = capsys.readouterr().out
    assert "slurm 22.05.8" in printed
    assert "batch (default)" in printed
    assert "gpu:2" in printed
    assert f"train: n7, {FACTS.cores} core" in printed
    assert "sees all folders" in printed
    assert "train: n7 has torch 1.0, the driver 2.15\n" in printed
    assert "the job 1 did not begin within 120 s.\n" in printed


def test_a_queue_that_fits_is_a_success_as_json_too(
    asked: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["data=digits", "engine=submitit", "hardware.device=Pixel 8", "--json"]
    assert main(["cluster", "check", *words]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["all_problems"] == []
    assert [each["name"] for each in found["partitions"]] == ["batch", "night"]


def test_an_engine_without_nodes_is_not_checked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cluster", "check", "data=digits", "engine=processes"]) == 2
    assert "this checks engine=ray or engine=submitit; got processes" in capsys.readouterr().err
