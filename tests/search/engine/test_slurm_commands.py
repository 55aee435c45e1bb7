"""What SLURM's commands print, as SLURM 22.05 printed it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from archfront.search.engine import slurm_commands
from archfront.search.engine.queue_needs import QueueNeeds
from archfront.search.engine.slurm_commands import (
    JobState,
    Partition,
    SlurmError,
    called,
    check_commands,
    ending_of,
    plain,
    read_sinfo,
    read_squeue,
    refusal,
    reserved,
    states_of,
)
from archfront.search.engine.submitit_check import partition_problems
from archfront.search.errors import ConfigError

SQUEUE = """\
6|CANCELLED|Resources||N/A
5_0|PENDING|PartitionTimeLimit||N/A
1_2|PENDING|JobArrayTaskLimit||N/A
7|PENDING|Resources||2026-11-29T16:57:00
1_0|COMPLETING|None|n2|2026-11-29T16:54:31
1_1|RUNNING|None|n1|2026-11-29T16:54:31
"""
SINFO = """\
main*|up|1:00:00|1|2|4000|(null)|small|mixed
main*|up|infinite|16|64+|256000+|gpu:a100:4|(null)|idle
night|down|2-00:30:00|1|1|4000|(null)|pi5,slow|allocated
"""


@pytest.fixture
def printing(monkeypatch: pytest.MonkeyPatch) -> dict[str, str | SlurmError]:
    """Return what commands of SLURM print, by their names; empty at first."""
    texts: dict[str, str | SlurmError] = {}

    def answer(name: str, *arguments: str) -> str:
        text = texts[name]
        if isinstance(text, SlurmError):
            raise text
        return text

    monkeypatch.setattr(slurm_commands, "called", answer)
    return texts


def test_the_states_of_jobs_are_read() -> None:
    found = read_squeue(SQUEUE)
    assert found["1_1"] == JobState("running", "RUNNING", node="n1")
    assert found["1_0"].phase == "running"
    assert found["6"].phase == "ended"
    assert found["7"] == JobState("queued", "PENDING", "Resources", start="2026-11-29T16:57:00")


def test_an_element_of_an_array_that_never_began_has_the_state_of_its_array(
    printing: dict[str, str | SlurmError],
) -> None:
    printing["squeue"] = SQUEUE
    found = states_of(["6_0", "6_3", "1_1"])
    assert [found[name].word for name in ("6_0", "6_3", "1_1")] == [
        "CANCELLED",
        "CANCELLED",
        "RUNNING",
    ]


def test_a_job_that_slurm_has_forgotten_is_looked_up_in_its_accounting(
    printing: dict[str, str | SlurmError],
) -> None:
    printing |= {"squeue": SQUEUE, "sacct": "3_0|CANCELLED by 1000|n1\n3_1|TIMEOUT|n2\n"}
    found = states_of(["3_0", "3_1", "1_1"])
    assert found["3_0"] == JobState("ended", "CANCELLED", node="n1")
    assert found["3_1"] == JobState("ended", "TIMEOUT", node="n2")
    printing["sacct"] = SlurmError("Slurm accounting storage is disabled.")
    assert states_of(["3_0"]) == {"3_0": JobState("ended", "UNKNOWN")}


@pytest.mark.parametrize(
    ("state", "why"),
    [
        (
            JobState("queued", "PENDING", "Resources", start="2026-11-29T16:57:00"),
            "Resources: the nodes are in use; expected to begin at 2026-11-29T16:57:00",
        ),
        (
            JobState("queued", "PENDING", "PartitionTimeLimit"),
            "PartitionTimeLimit: engine.job_minutes is more than the partition allows",
        ),
        (
            JobState("queued", "PENDING", "QOSMaxJobsPerUserLimit"),
            "QOSMaxJobsPerUserLimit: a limit of the user, account or QOS is reached",
        ),
        (JobState("queued", "PENDING", "Licenses"), "Licenses"),
        (JobState("queued", "CONFIGURING"), "no reason is given"),
    ],
)
def test_it_is_said_why_a_job_waits(state: JobState, why: str) -> None:
    assert state.why == why


def test_partitions_are_read_with_their_limits_in_minutes() -> None:
    main, large, night = read_sinfo(SINFO)
    assert main == Partition("main", True, "up", "1:00:00", 1, 2, 4000, "", ("small",), "mixed")
    assert (large.nodes, large.cores, large.memory_mb, large.gpus) == (
        16,
        64,
        256000,
        "gpu:a100:4",
    )
    assert (large.features, night.features) == ((), ("pi5", "slow"))
    assert (main.minutes, large.minutes, night.minutes) == (60.0, math.inf, 2910.0)
    assert (night.available, night.is_default) == ("down", False)


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (
            "sbatch: error: invalid partition specified: nix\n"
            "sbatch: error: Batch job submission failed: Invalid partition name specified\n",
            "engine.partition, engine.device_partition: SLURM refuses the jobs: invalid partition "
            "specified: nix. Batch job submission failed: Invalid partition name specified. "
            "Known: main, night. ",
        ),
        (
            "sbatch: error: Batch job submission failed: Invalid feature specification",
            "engine.constraint, engine.device_constraint: SLURM refuses the jobs: Batch job "
            "submission failed: Invalid feature specification. `archfront cluster check",
        ),
        (
            "sbatch: error: Unable to contact slurm controller (connect failure)",
            "Unable to contact slurm controller (connect failure).",
        ),
    ],
)
def test_a_refusal_names_the_option_with_the_words_of_sbatch(
    printing: dict[str, str | SlurmError], said: str, error: str
) -> None:
    printing["sinfo"] = SINFO
    found = refusal(said)
    assert str(found).startswith(error)
    assert isinstance(found, SlurmError) == ("contact" in said)  # which is tried again


def test_partitions_that_cannot_be_listed_are_left_out_of_a_refusal(
    printing: dict[str, str | SlurmError],
) -> None:
    printing["sinfo"] = SlurmError("it does not answer")
    assert "Known" not in str(refusal("sbatch: error: Invalid partition name specified"))


@pytest.mark.parametrize(
    ("word", "kind", "words"),
    [
        ("TIMEOUT", "killed", "was ended after its 60 minutes. What takes longer needs a larger "),
        ("PREEMPTED", "killed", "lost its node to another job, which comes first"),
        ("NODE_FAIL", "killed", "was lost with its node"),
        ("OUT_OF_MEMORY", "out of memory", "used more memory than SLURM gave it. Give engine.mem"),
        ("LAUNCH_FAILED", "killed", "ended (LAUNCH_FAILED)"),
    ],
)
def test_no_end_but_that_of_memory_is_the_fault_of_what_ran(
    word: str, kind: str, words: str
) -> None:
    found, said = ending_of(word, minutes=60, memory_gb=2.5)
    assert found == kind
    assert said.startswith(words)
    assert ("(2.5 now)" in said) == (kind == "out of memory")


def test_options_that_are_set_already_are_known_and_no_others() -> None:
    assert reserved({"array": "0-3", "reservation": "course", "partition": "x"}) == [
        "array",
        "partition",
    ]


def test_without_slurm_it_is_said_where_to_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=r"SLURM's sbatch, squeue.* most often a login node"):
        check_commands()


def test_a_command_that_fails_is_an_error_with_its_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    for name, body in (("squeue", "echo squeue: error: no. >&2; exit 1"), ("sinfo", "exit 2")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    with pytest.raises(SlurmError, match=r"^no\.$"):
        called("squeue")
    with pytest.raises(SlurmError, match=r"^sinfo ended with 2$"):
        called("sinfo")
    with pytest.raises(SlurmError, match=r"^nothing: No such file or directory$"):
        called("nothing")
    assert plain("sbatch: error: a\n\nsbatch: b.\n") == "a. b."


def test_one_of_several_partitions_suffices() -> None:
    found = [
        Partition(name, False, "up", limit, 1, 4, 4000, "", (), "idle")
        for name, limit in (("short", "30:00"), ("long", "1-00:00:00"))
    ]
    needs = QueueNeeds(measures=False, partition="short,long", job_minutes=90)
    assert partition_problems(needs, found, threads=1) == []
    assert partition_problems(replace(needs, partition="short,nix"), found, threads=1) == [
        "engine.partition: Unknown partition 'nix'. Known: long, short."
    ]
    assert partition_problems(replace(needs, job_minutes=9000), found, threads=1) == [
        "engine.partition: short,long gives a job 1-00:00:00; engine.job_minutes=9000 is more."
    ]
