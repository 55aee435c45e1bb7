"""What a queue says of its partitions and its nodes, and what does not fit, before a study."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from archfront.search.engine.node_facts import NodeFacts, version_of
from archfront.search.engine.queue_needs import QueueNeeds
from archfront.search.engine.run_folder import new_run_folder
from archfront.search.engine.slurm_commands import Partition, SlurmError, called, partitions
from archfront.search.engine.submitit_link import Crew
from archfront.search.engine.submitit_pilots import Pilots
from archfront.search.engine.submitit_queue import queue_of
from archfront.search.errors import ConfigError

# A queue whose jobs do not begin within it is not waited for.
WAIT_S = 120.0
_LIBRARIES = ("torch", "timm", "onnxruntime")


@dataclass(frozen=True)
class QueueAnswer:
    """What a job of the queue found.

    Attributes:
        purpose: What it was asked for: ``train`` or ``measure``.
        node: Name of its node; empty where it did not begin.
        facts: What the node says of itself; None where it did not begin.
        problems: What does not fit, in words.
    """

    purpose: str
    node: str
    facts: NodeFacts | None
    problems: tuple[str, ...]


@dataclass(frozen=True)
class QueueReport:
    """What was found of a queue.

    Attributes:
        version: SLURM's version; empty for processes of this machine.
        partitions: Its partitions.
        answers: What its jobs found.
        problems: What does not fit of the partitions, in words.
    """

    version: str
    partitions: tuple[Partition, ...]
    answers: tuple[QueueAnswer, ...]
    problems: tuple[str, ...]


def check_queue(
    needs: QueueNeeds,
    *,
    threads: int,
    wait_s: float = WAIT_S,
    clock: Callable[[], float] = time.monotonic,
) -> QueueReport:
    """Return what a queue says, after one short job of each kind has run in it.

    Args:
        needs: What a study asks.
        threads: Threads of one training.
        wait_s: Seconds in which these jobs have to begin.
        clock: Seconds.

    Raises:
        ConfigError: If there is no queue.
    """
    folder = new_run_folder(needs.shared)
    try:
        queue = queue_of(
            needs,
            folder / "jobs",
            name=f"archfront-check-{folder.name}",
            cores=threads,
            slots=1,
        )
        try:
            version, found, problems = _partitions(needs, threads)
            pilots = Pilots(queue, needs, folder, start_of=lambda _: None)
            answers = [] if problems else _asked(pilots, needs, wait_s=wait_s, clock=clock)
        finally:
            queue.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return QueueReport(version, tuple(found), tuple(answers), tuple(problems))


def partition_problems(
    needs: QueueNeeds, found: Sequence[Partition], *, threads: int
) -> list[str]:
    """Return in which way no partition gives what is asked, in words."""
    measuring = needs.device_partition or needs.partition
    trainings = f"engine.threads={threads}"
    if needs.per_job > 1:
        trainings += f" for each of {needs.per_job} trainings that share a GPU"
    n_cores = threads * needs.per_job
    asked = [("engine.partition", needs.partition, needs.constraint, n_cores)]
    asked += [("engine.device_partition", measuring, needs.device_constraint, 1)]
    problems: dict[str, None] = {}
    for option, name, feature, n_cores in asked[not needs.trains : 1 + needs.measures]:
        # SLURM takes several between commas, and a job goes where it begins first.
        names = [] if name is None else name.replace(" ", "").split(",")
        nodes = [p for p in found if (p.is_default if name is None else p.name in names)]
        unknown = [one for one in names if all(p.name != one for p in nodes)]
        if unknown or not nodes:
            known = ", ".join(sorted({p.name for p in found})) or "none"
            what = "SLURM has no default" if name is None else f"Unknown partition {unknown[0]!r}"
            problems[f"{option}: {what}. Known: {known}."] = None
            continue
        first, longest = nodes[0], max(nodes, key=lambda p: p.minutes)
        lacks = {
            f"is {first.available}, not up": all(p.available != "up" for p in nodes),
            f"gives a job {longest.time_limit}; engine.job_minutes={needs.job_minutes} is more": (
                longest.minutes < needs.job_minutes
            ),
            f"has nodes of {max(p.cores for p in nodes)} CPUs; {trainings} is more": (
                all(p.cores < n_cores for p in nodes)
            ),
            f"has no node with GPUs; engine.gpus is {needs.gpus:g}": bool(
                needs.gpus
                and option == "engine.partition"
                and all("gpu" not in p.gpus for p in nodes)
            ),
            f"has no node with the feature {feature}": bool(
                feature
                and re.fullmatch(r"[\w.-]+", feature)
                and all(feature not in p.features for p in nodes)
            ),
        }
        texts = [text for text, is_so in lacks.items() if is_so]
        shown = name or first.name
        problems |= {f"{option}: {shown} {text}.": None for text in texts}
    return list(problems)


def _partitions(needs: QueueNeeds, threads: int) -> tuple[str, list[Partition], list[str]]:
    if needs.cluster == "local":
        return "", [], []
    try:
        version, found = called("sinfo", "--version").strip(), partitions()
    except SlurmError as error:
        raise ConfigError(f"engine.cluster: SLURM does not answer: {error}") from error
    return version, found, partition_problems(needs, found, threads=threads)


def _asked(
    pilots: Pilots, needs: QueueNeeds, *, wait_s: float, clock: Callable[[], float]
) -> list[QueueAnswer]:
    """Return what one job of each kind finds."""
    purposes = {"measure": needs.measures, "train": needs.trains}
    crews = {"train": Crew(needs.per_job, measures=False), "measure": Crew(0, measures=True)}
    asked = []
    for purpose in (name for name, is_asked in purposes.items() if is_asked):
        pilots.ask(crews[purpose], 1)
        asked.append((purpose, pilots.links[-1]))
    until = clock() + wait_s
    while pilots.links and clock() < until:
        pilots.hear()
        pilots.look()
        time.sleep(0.1)
    answers = []
    for purpose, link in asked:
        problem = pilots.problem(link.crew)
        problems = [problem] if problem else []
        if link.hello is None and not problem:
            why = pilots.reasons.get(link.id, "")
            problems = [f"the job {link.id} did not begin within {wait_s:g} s. {why}".strip()]
        facts = None if link.hello is None else link.hello.facts
        problems += [] if facts is None else _doubts(facts)
        answers.append(QueueAnswer(purpose, link.flights.node, facts, tuple(problems)))
    return answers


def _doubts(facts: NodeFacts) -> list[str]:
    there = {name: facts.versions[name] for name in _LIBRARIES}
    return [
        f"has {name} {version}, the driver {version_of(name)}"
        for name, version in there.items()
        if version != version_of(name)
    ]
