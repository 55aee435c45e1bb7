"""What the nodes of a cluster say of themselves, and what does not fit, without any work."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from archfront.search.engine.file_sets import FileSets
from archfront.search.engine.node_facts import NodeFacts, Question, version_of
from archfront.search.engine.placement import (
    ClusterNeeds,
    Fit,
    device_to_measure,
    fit_of,
    nobody,
    question_to_node,
)
from archfront.search.engine.ray_cluster import Connection, Node, connect
from archfront.search.engine.ray_engine import mark_shared
from archfront.search.engine.ray_node import NodeLink
from archfront.trainers.words import join_words

# A clock that differs by more makes times of events and files misleading.
_CLOCK_S = 2.0
# Free space with which a training hardly ends.
_DISK_GB = 1.0


@dataclass(frozen=True)
class NodeAnswer:
    """What was found of a node.

    Attributes:
        node: The node as Ray lists it.
        facts: What it says of itself; None where it was not reached.
        fit: What it can do; None where it was not reached.
        clock_s: Seconds by which its clock is ahead of the driver's.
        problems: What does not fit, in words.
        notes: What is done about folders that it does not see, and what is not known, in words.
    """

    node: Node
    facts: NodeFacts | None
    fit: Fit | None
    clock_s: float
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()


def check_cluster(
    needs: ClusterNeeds, *, workers: int, threads: int
) -> tuple[list[NodeAnswer], list[str]]:
    """Return what each node of a cluster says, and what the cluster as a whole lacks.

    Args:
        needs: What a study asks.
        workers: Trainings at a time on one node, at most.
        threads: Threads of one training.

    Raises:
        ConfigError: If the cluster cannot be joined.
    """
    mark_shared(needs)
    question = question_to_node(needs)
    connection = connect(needs.address)
    try:
        nodes = connection.nodes()
        with ThreadPoolExecutor(max(1, len(nodes))) as pool:
            asked = list(pool.map(lambda node: _asked(connection, node, question), nodes))
    finally:
        connection.close()
    reached = [(n, a[0]) for n, a in zip(nodes, asked, strict=True) if not isinstance(a, str)]
    device = device_to_measure(reached, needs)
    sets = FileSets(needs.read, without=needs.shared, outline=None)
    found = []
    for node, answer in zip(nodes, asked, strict=True):
        if isinstance(answer, str):
            found.append(NodeAnswer(node, None, None, 0.0, (f"was not reached: {answer}",)))
            continue
        facts, clock_s = answer
        fit = fit_of(node, facts, needs, workers=workers, threads=threads, device=device)
        notes, lacks = _of_files(fit, facts, needs, sets)
        notes = (*notes, *_of_gpus(node, facts, needs))
        problems = (*fit.faults, *_doubts(facts, clock_s), *lacks)
        found.append(NodeAnswer(node, facts, fit, clock_s, problems, notes))
    fits = [(each.node, each.fit or each.problems[0]) for each in found]
    return found, [*nobody(fits, needs), *_shared_machines(found)]


def _asked(
    connection: Connection, node: Node, question: Question
) -> tuple[NodeFacts, float] | str:
    """Return what a node says and by how much its clock is ahead, or why it was not reached."""
    link: NodeLink | None = None
    try:
        link = NodeLink(connection.ray, node, gpus=0)
        link.ask(question)  # with the start of a process in it
        before = time.time()
        facts = link.ask(question)
        return facts, facts.clock - (before + time.time()) / 2
    except Exception as error:
        return str(error)
    finally:
        if link is not None:
            link.end()


def _of_files(
    fit: Fit, facts: NodeFacts, needs: ClusterNeeds, sets: FileSets
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what is sent to a node and brought back, and what hinders that, in words."""
    sources = [path for path in fit.sent if path != needs.shared]
    notes: list[str] = []
    lacks: list[str] = []
    if sources:
        notes.append(f"gets {join_words(sources)}: {sets.text(sources)}, less what it has")
        gb = sum(each.n_bytes for source in sources for each in sets.listed(source)) / 1e9
        free_gb = facts.free_cache_gb * 2**30 / 1e9
        if gb > min(needs.files_gb, free_gb):
            lacks.append(
                f"gets up to {gb:.3g} GB of files, where {free_gb:.3g} GB are free and "
                f"engine.files_gb is {needs.files_gb:g}"
            )
    if needs.shared in fit.sent:
        notes.append(f"what its jobs write is brought back to {needs.shared}")
    return tuple(notes), tuple(lacks)


def _of_gpus(node: Node, facts: NodeFacts, needs: ClusterNeeds) -> list[str]:
    """Return that the memory of a node's GPUs does not count where it should, in words."""
    if node.gpus and needs.gpu_memory_gb is not None and not facts.gpu_memory_gb:
        return [
            "the memory of its GPUs is not known, since nvidia-smi does not say it: "
            "engine.gpu_memory_gb does not count there"
        ]
    return []


def _doubts(facts: NodeFacts, clock_s: float) -> list[str]:
    doubts = []
    for library in ("torch", "timm", "onnxruntime"):
        there, here = facts.versions[library], version_of(library)
        if there != here:
            doubts.append(f"has {library} {there}, the driver {here}")
    if abs(clock_s) > _CLOCK_S:
        doubts.append(f"its clock is {abs(clock_s):.0f} s {'ahead' if clock_s > 0 else 'behind'}")
    if facts.free_disk_gb < _DISK_GB:
        doubts.append(f"has {facts.free_disk_gb:.1f} GiB of free space for temporary files")
    return doubts


def _shared_machines(found: Sequence[NodeAnswer]) -> list[str]:
    """Return which nodes are on one machine, where they disturb each other's measurements."""
    machines = Counter(each.facts.machine for each in found if each.facts is not None)
    problems = []
    for machine, n in machines.items():
        names = [a.node.name for a in found if a.facts is not None and a.facts.machine == machine]
        if n > 1:
            problems.append(
                f"{join_words(names)} are nodes of one machine: trainings of one disturb what the "
                "other measures. Start one node a machine."
            )
    return problems
