"""What a study asks of the nodes of a cluster, and which node can do which of its jobs."""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from archfront.search.engine.file_sets import Outline
from archfront.search.engine.gpu_shares import memory_text, sharing, trainings_held
from archfront.search.engine.node_facts import NodeFacts, Question, question_of, version_of
from archfront.search.engine.ray_cluster import Node
from archfront.trainers.words import count_of

FilesMode = Literal["auto", "shared", "sent"]


@dataclass(frozen=True)
class ClusterNeeds:
    """What a study asks of a cluster and of its nodes.

    Attributes:
        address: The cluster: ``auto``, ``local``, ``HOST:6379`` or ``ray://HOST:10001``.
        labels: Labels of the nodes that train.
        device_label: Labels of the nodes that measure; empty for those of the driver's device.
        gpus: GPUs of one training; 1/n where n share one, 0 hides them.
        gpu_memory_gb: Memory of one training on each of its GPUs in GiB; None where it does not
            matter.
        memory_gb: Memory of one training in GiB; None where it does not matter.
        trains: Whether anything is trained, so that a node for it is needed.
        measures: The same of measuring.
        shared: Folder into which jobs write, and
        read: folders and files that they read: all nodes have to see them.
        describe: Gives a machine's device; None where it does not matter.
        device: The device that measures, where it is decided already.
        waits: Whether nodes that can train or measure are waited for from the start.
        files: Whether nodes have to see these folders (``shared``), get the files (``sent``), or
            get those that they do not see (``auto``).
        files_gb: What files that are sent may take on a node, in 10^9 bytes.
        outline: What a node has to read from the files as the driver does; None for nothing.
        look_s: Seconds between looks at the nodes, after as many a lost one is tried again.
    """

    address: str = "auto"
    labels: Mapping[str, str] = field(default_factory=dict)
    device_label: Mapping[str, str] = field(default_factory=dict)
    gpus: float = 0
    gpu_memory_gb: float | None = None
    memory_gb: float | None = None
    trains: bool = True
    measures: bool = True
    shared: str | None = None
    read: tuple[str, ...] = ()
    describe: Callable[[], object] | None = None
    device: object = None
    waits: bool = False
    files: FilesMode = "auto"
    files_gb: float = 100.0
    outline: Outline | None = None
    look_s: float = 5.0

    @property
    def asked(self) -> tuple[str, ...]:
        """Return the folders and files of which a node is asked whether it sees them."""
        return () if self.files == "sent" else self.folders

    @property
    def folders(self) -> tuple[str, ...]:
        """Return all folders and files that jobs read or write."""
        return self.read if self.shared is None else (*self.read, self.shared)


@dataclass(frozen=True)
class Fit:
    """What a node can do for a study.

    Attributes:
        slots: Trainings at a time.
        measures: Whether it measures.
        faults: Why it can do nothing at all.
        lacks: Why it trains nothing.
        lack: Why it measures nothing; empty if it does.
        sent: Folders and files that it does not see, or is to use as if it did not: what jobs
            read of them is sent, and what they write is brought back.
    """

    slots: int
    measures: bool
    faults: tuple[str, ...]
    lacks: tuple[str, ...]
    lack: str
    sent: tuple[str, ...] = ()

    @property
    def is_of_use(self) -> bool:
        """Return whether the node trains or measures."""
        return self.slots > 0 or self.measures

    def __str__(self) -> str:
        """Return why the node is not used, or not for everything."""
        if self.faults:
            return "; ".join(self.faults)
        trains = () if self.slots else (f"trains nothing: {'; '.join(self.lacks)}",)
        measures = () if self.measures else (f"measures nothing: {self.lack}",)
        return "; ".join((*trains, *measures))


def fit_of(
    node: Node,
    facts: NodeFacts,
    needs: ClusterNeeds,
    *,
    workers: int,
    threads: int,
    device: object,
) -> Fit:
    """Return what a node can do.

    Args:
        node: The node as Ray lists it.
        facts: What it says of itself.
        needs: What is asked.
        workers: Trainings at a time on one node, at most.
        threads: Threads of one training.
        device: The device that measures.
    """
    unseen = needs.folders if needs.files == "sent" else facts.unseen
    faults = version_faults(facts)
    if needs.files == "shared":
        faults += tuple(
            f"does not see {path}: all nodes need it, by this path (engine.files=shared)"
            for path in unseen
        )
    slots, lacks = _slots(node, facts, needs, workers=workers, threads=threads)
    missing = missing_labels(node, needs.labels)
    lack = missing_labels(node, needs.device_label)
    if not lack and facts.device != device:
        lack = f"its device is {facts.device}, not {device}"
    if missing:
        slots, lacks = 0, (missing, *lacks)
    if faults:
        slots = 0
    measures = not (lack or faults)
    sent = tuple(path for path in unseen if slots or (measures and path == needs.shared))
    return Fit(slots, measures, faults, lacks, lack, sent)


def question_to_node(needs: ClusterNeeds) -> Question:
    """Return what a node is asked now."""
    return question_of(needs.asked, needs.describe, uses_gpus=needs.gpus > 0)


def device_to_measure(found: Sequence[tuple[Node, NodeFacts]], needs: ClusterNeeds) -> object:
    """Return the device that measures: that of the labeled nodes, else that of the driver.

    One that is decided already stays. Of several devices under one label it is that of the node
    whose name is first.
    """
    if needs.device is not None:
        return needs.device
    labeled = [f.device for n, f in found if not missing_labels(n, needs.device_label)]
    if needs.device_label and labeled:
        return labeled[0]
    return None if needs.describe is None else needs.describe()


def missing_labels(node: Node, wanted: Mapping[str, str]) -> str:
    """Return which wanted labels a node lacks, in words; empty if none."""
    missing = [f"{k}={v}" for k, v in wanted.items() if node.labels.get(k) != v]
    if not missing:
        return ""
    has = ", ".join(f"{k}={v}" for k, v in sorted(node.labels.items())) or "no labels"
    return f"it has {has}, not {', '.join(missing)}"


def version_faults(facts: NodeFacts) -> tuple[str, ...]:
    """Return the versions of a node that have to be those of the driver, and are not."""
    found = {"Python": (facts.python, platform.python_version())}
    found |= {name: (facts.versions[name], version_of(name)) for name in ("archfront", "ray")}
    return tuple(
        f"has {name} {there}, the driver {own}"
        for name, (there, own) in found.items()
        if there != own
    )


def _slots(
    node: Node, facts: NodeFacts, needs: ClusterNeeds, *, workers: int, threads: int
) -> tuple[int, tuple[str, ...]]:
    """Return the trainings at a time by cores, memory and GPUs, and what one lacks."""
    n_cores = f"{node.cores:g} {'core' if node.cores == 1 else 'cores'}"
    fits = {
        f"it gives {n_cores}, a training takes {count_of(threads, 'thread')}": int(
            node.cores // threads
        )
    }
    if needs.memory_gb is not None:
        text = f"it gives {node.memory_gb:.1f} GiB, a training takes {needs.memory_gb:g}"
        fits[text] = int(node.memory_gb // needs.memory_gb)
    if needs.gpus:
        text = f"it gives {count_of(node.gpus, 'GPU')}, a training takes {needs.gpus:g}"
        fits[text] = node.gpus * sharing(needs.gpus) // math.ceil(needs.gpus)
    each_gb, has_gb = needs.gpu_memory_gb, facts.gpu_memory_gb
    if needs.gpus and node.gpus and each_gb is not None and has_gb:
        held = trainings_held(has_gb, needs.gpus, each_gb)
        fits[memory_text(has_gb, needs.gpus, each_gb)] = node.gpus * held
    return min(workers, *fits.values()), tuple(text for text, n in fits.items() if n == 0)


def nobody(found: Sequence[tuple[Node, Fit | str]], needs: ClusterNeeds) -> list[str]:
    """Return what no node of a cluster can do, in words; empty if all can be done.

    Args:
        found: The nodes, each with what it can do, or why it was not reached.
        needs: What is asked.
    """
    fits = [fit for _, fit in found if isinstance(fit, Fit)]
    nodes = "".join(f"\n  {node.name}: {fit}" for node, fit in found) or "\n  none"
    problems = []
    if needs.trains and not any(fit.slots for fit in fits):
        problems.append(f"engine: no node of the cluster can train. Its nodes:{nodes}")
    if needs.measures and not any(fit.measures for fit in fits):
        wanted = ", ".join(f"{k}={v}" for k, v in needs.device_label.items())
        which = f"has the labels {wanted}" if wanted else "is of this machine's device"
        problems.append(
            f"engine: no node {which}, so none can measure. Start one, or name the device by its "
            "label, as engine.device_label='{device: pi5}' for nodes started by `ray start "
            f"--labels device=pi5`. The nodes:{nodes}"
        )
    return problems


def waited_for(needs: ClusterNeeds, what: str, device: object) -> str:
    """Return in words which node is waited for, to train or to measure."""
    if what == "train":
        asked = [f"{k}={v}" for k, v in needs.labels.items()]
        asked += [count_of(needs.gpus, "GPU")] if needs.gpus else []
        each_gb = needs.gpu_memory_gb
        asked += [f"GPUs that hold {each_gb:g} GiB"] if each_gb is not None else []
        asked += [f"{needs.memory_gb:g} GiB"] if needs.memory_gb is not None else []
        return f"It needs {', '.join(asked)}." if asked else "Start one with `ray start`."
    labels = ", ".join(f"{k}={v}" for k, v in needs.device_label.items())
    return f"It needs {labels}." if labels else f"It has to be of the device {device}."
