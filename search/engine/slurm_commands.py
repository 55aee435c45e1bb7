"""SLURM's commands: states of jobs, partitions, and refusals that name our options."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from archfront.search.errors import ConfigError
from archfront.search.records.failure_kinds import FailureKind

# submitit asks for srun, although jobs are started without it.
NEEDED = ("sbatch", "squeue", "scancel", "sinfo", "srun")
ANSWER_S = 60.0  # in which a busy controller answers
_QUEUED = frozenset(
    {
        *("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD"),
        "SPECIAL_EXIT",
    }
)
_RUNNING = frozenset({"RUNNING", "COMPLETING", "STAGE_OUT", "SIGNALING", "RESIZING"})
# It may go on later, when what it ran is done elsewhere, and is of no use.
SUSPENDED = ("SUSPENDED", "STOPPED")
# These ends say nothing of a job, though it may never have done anything.
TAKEN_AWAY = frozenset(
    {"PREEMPTED", "NODE_FAIL", "BOOT_FAIL", "CANCELLED", "DEADLINE", "UNKNOWN", *SUSPENDED}
)
# Why jobs wait, for those who do not know SLURM.
REASONS = {
    "Resources": "the nodes are in use",
    "Priority": "other jobs come first",
    "JobArrayTaskLimit": "as many of its jobs run as may at a time",
    "BeginTime": "its time to begin has not come",
    "ReqNodeNotAvail": "the nodes are down, reserved or kept for maintenance",
    "Reservation": "its reservation has not begun",
    "JobHeldUser": "it is held: `scontrol release` lets it go",
    "JobHeldAdmin": "an administrator holds it",
    "BadConstraints": "no node has what it asks for",
    "PartitionTimeLimit": "engine.job_minutes is more than the partition allows",
    "PartitionNodeLimit": "it asks for more than the partition allows, or the nodes are down",
    "PartitionDown": "the partition is down",
    "PartitionInactive": "the partition is inactive",
    "NodeDown": "the nodes are down",
}
# The reason of jobs that wait for ever, unless somebody changes the partition.
NEVER = "PartitionTimeLimit"
# What SLURM's refusals say, and the options that they are about.
_REFUSALS = {
    "partition": "engine.partition, engine.device_partition",
    "account": "engine.account, engine.partition",
    "qos": "engine.qos",
    "feature": "engine.constraint, engine.device_constraint",
    "time limit": "engine.job_minutes",
    "node configuration": "engine.threads, engine.memory_gb, engine.gpus",
    "memory": "engine.memory_gb",
    "gres": "engine.gpus",
    "unrecognized option": "engine.sbatch",
}


# What SLURM's commands say where nobody answers them, as while its controller starts again.
_AWAY = re.compile(
    r"unable to contact slurm controller|socket timed out|connection refused|connection failure"
    r"|zero bytes were transmitted|temporarily unable",
    re.IGNORECASE,
)


class SlurmError(Exception):
    """A command of SLURM that failed, with its words."""


@dataclass(frozen=True)
class JobState:
    """The state of a job in a queue.

    Attributes:
        phase: Whether it waits, runs or has ended.
        word: SLURM's word for it.
        reason: Why it waits, in SLURM's word.
        node: The node that it has.
        start: When it is expected to begin; empty where SLURM does not know.
    """

    phase: Literal["queued", "running", "ended"]
    word: str
    reason: str = ""
    node: str = ""
    start: str = ""

    @property
    def why(self) -> str:
        """Return why it waits, for people."""
        words = REASONS.get(self.reason.split(",")[0])
        if words is None and self.reason.startswith(("QOS", "Assoc", "MaxJobs", "MaxSubmit")):
            words = "a limit of the user, account or QOS is reached"
        known = f"{self.reason}: {words}" if words else self.reason or "no reason is given"
        return f"{known}; expected to begin at {self.start}" if self.start else known


@dataclass(frozen=True)
class Partition:
    """Nodes of a partition that are alike.

    Attributes:
        name: Name of the partition.
        is_default: Whether jobs go there that name none.
        available: ``up`` or what else it is.
        time_limit: Its limit as SLURM writes it: ``infinite`` or ``days-hours:minutes:seconds``.
        nodes: How many nodes.
        cores: CPUs of a node, as SLURM counts them.
        memory_mb: Memory of a node.
        gpus: Its generic resources; empty for none.
        features: Its features.
        state: Their state.
    """

    name: str
    is_default: bool
    available: str
    time_limit: str
    nodes: int
    cores: int
    memory_mb: int
    gpus: str
    features: tuple[str, ...]
    state: str

    @property
    def minutes(self) -> float:
        """Return the time limit in minutes."""
        found = re.fullmatch(r"(?:(\d+)-)?(?:(?:(\d+):)?(\d+):)?(\d+)", self.time_limit)
        if found is None:
            return float("inf")
        days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
        return 24 * 60 * days + 60 * hours + minutes + seconds / 60


def check_commands() -> None:
    """Check that SLURM's commands are there.

    Raises:
        ConfigError: If one is not.
    """
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        raise ConfigError(
            f"engine.cluster: SLURM's {', '.join(missing)} cannot be found on this machine. Start "
            "archfront where jobs are submitted, most often a login node, perhaps after `module "
            "load slurm`; or use engine.cluster=local to try it here, or engine=processes."
        )


def called(name: str, *arguments: str) -> str:
    """Return what a command of SLURM prints.

    Raises:
        SlurmError: If it fails or does not answer.
    """
    try:
        done = subprocess.run(
            [name, *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=ANSWER_S,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SlurmError(f"{name} did not answer within {ANSWER_S:g} s") from None
    except OSError as error:
        raise SlurmError(f"{name}: {error.strerror}") from error
    if done.returncode:
        raise SlurmError(plain(done.stderr) or f"{name} ended with {done.returncode}")
    return done.stdout


def states_of(ids: Iterable[str]) -> dict[str, JobState]:
    """Return the states of jobs, elements of arrays as ``12_0``.

    Jobs that SLURM has forgotten are looked up in its accounting, where there is one.

    Raises:
        SlurmError: If SLURM does not answer.
    """
    listed = called(
        *("squeue", "--noheader", "--array", "--states=all", f"--user={os.getuid()}"),
        "--format=%i|%T|%r|%N|%S",
    )
    known = read_squeue(listed)
    found = {name: known.get(name) or known.get(name.split("_")[0]) for name in ids}
    forgotten = [name for name, state in found.items() if state is None]
    if forgotten:
        found |= _accounted(forgotten)
    return {name: state or JobState("ended", "UNKNOWN") for name, state in found.items()}


def read_squeue(text: str) -> dict[str, JobState]:
    """Return the states by the ids of jobs; an array without elements has its own id."""
    states = {}
    for line in text.splitlines():
        name, word, reason, node, start = (part.strip() for part in line.split("|"))
        states[name] = JobState(
            phase_of(word),
            word,
            "" if reason == "None" else reason,
            node,
            start if phase_of(word) == "queued" and start != "N/A" else "",
        )
    return states


def phase_of(word: str) -> Literal["queued", "running", "ended"]:
    """Return what a state of SLURM means; a suspended job is of no use and counts as ended."""
    if word in _QUEUED:
        return "queued"
    return "running" if word in _RUNNING else "ended"


def _accounted(ids: list[str]) -> dict[str, JobState | None]:
    """Return the states of jobs in SLURM's accounting, which may be switched off."""
    try:
        text = called(
            *("sacct", "--noheader", "--allocations", "--parsable2"),
            *("--format=JobID,State,NodeList", f"--jobs={','.join(ids)}"),
        )
    except SlurmError:
        return {}
    states: dict[str, JobState | None] = {}
    for line in text.splitlines():
        name, words, node = line.split("|")
        word = words.split()[0]  # CANCELLED by 1000
        states[name] = JobState(phase_of(word), word, node=node)
    return {name: states[name] for name in ids if name in states}


def partitions() -> list[Partition]:
    """Return the partitions, one entry for nodes that are alike.

    Raises:
        SlurmError: If SLURM does not answer.
    """
    return read_sinfo(called("sinfo", "--noheader", "--format=%P|%a|%l|%D|%c|%m|%G|%f|%T"))


def read_sinfo(text: str) -> list[Partition]:
    """Return the partitions in what sinfo prints."""
    found = []
    for line in text.splitlines():
        name, available, limit, nodes, cores, memory, gres, features, state = line.split("|")
        found.append(
            Partition(
                name.rstrip("*"),
                name.endswith("*"),
                available,
                limit,
                nodes=_number(nodes),
                cores=_number(cores),
                memory_mb=_number(memory),
                gpus="" if gres == "(null)" else gres,
                features=() if features == "(null)" else tuple(features.split(",")),
                state=state,
            )
        )
    return found


def _number(text: str) -> int:
    """Return a number that SLURM may write as 4+, where nodes have at least so many."""
    return int(re.sub(r"\D.*", "", text) or 0)


def plain(words: str) -> str:
    """Return a message of SLURM's commands in one line without their names before it."""
    lines = [re.sub(r"^\w+: (error: )?", "", line.strip()) for line in words.splitlines()]
    return " ".join(line.rstrip(".") + "." for line in lines if line)


def refusal(words: str) -> ConfigError | SlurmError:
    """Return the error for a job that sbatch refuses, or does not take now, with its words."""
    said = plain(words)
    if _AWAY.search(words):
        return SlurmError(said)
    low = said.lower()
    options = next((names for word, names in _REFUSALS.items() if word in low), "engine")
    known = ""
    if options.startswith("engine.partition"):
        try:
            known = f" Known: {', '.join(sorted({each.name for each in partitions()}))}."
        except SlurmError:
            known = ""
    return ConfigError(
        f"{options}: SLURM refuses the jobs: {said}{known} `archfront cluster check "
        "engine=submitit` shows its partitions."
    )


def ending_of(word: str, *, minutes: float, memory_gb: float | None) -> tuple[FailureKind, str]:
    """Return the failure of what a job ran that ended so, and words to follow "the job".

    None of it is the candidate's but the memory, and a training that takes longer than a job may.

    Args:
        word: SLURM's word for how it ended.
        minutes: Wall minutes that it had.
        memory_gb: Memory of a training in GiB; None for what the site gives.
    """
    limit = "" if memory_gb is None else f" ({memory_gb:g} now)"
    if word == "OUT_OF_MEMORY":
        more = f"Give engine.memory_gb more{limit}"
        return "out of memory", f"used more memory than SLURM gave it. {more}"
    words = {
        "TIMEOUT": f"was ended after its {minutes:g} minutes. What takes longer needs a larger "
        "engine.job_minutes",
        "PREEMPTED": "lost its node to another job, which comes first",
        **dict.fromkeys(SUSPENDED, "was suspended for another job, and was given up"),
        "NODE_FAIL": "was lost with its node",
        "BOOT_FAIL": "was lost with its node, which did not start",
        "CANCELLED": "was cancelled by somebody",
        "DEADLINE": "was ended by its deadline",
        "ENDED": "ended",
        "UNKNOWN": "is not known to SLURM any more",
    }
    return "killed", words.get(word, f"ended ({word})")


def reserved(options: Mapping[str, str]) -> list[str]:
    """Return the options of sbatch that cannot be given, since they are set here."""
    return [name for name in options if name in _OURS]


_OURS = frozenset(
    {
        *("array", "output", "error", "open-mode", "job-name", "nodes", "ntasks", "signal"),
        *("ntasks-per-node", "exclusive", "requeue", "no-requeue", "cpus-per-task", "exclude"),
        *("partition", "account", "qos", "constraint", "time", "mem", "gres", "wrap"),
    }
)
