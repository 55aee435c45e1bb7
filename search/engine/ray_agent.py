"""The agent of one node of a Ray cluster: our own workers there, and what the driver asks them.

An agent is an actor without cores of Ray's own. It holds a ``ProcessEngine``, so that crashes,
hangs, timeouts and pauses mean on every node what they mean on one machine. The driver talks to
it by two calls that may both be repeated after a fault of the network: ``submit`` takes a job by
its number once, and ``poll`` gives what happened since, again until it is acknowledged.

This module imports nothing of Ray: Ray makes an actor of the class.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
import pickle
import platform
import shutil
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import psutil

from archfront.search.engine.failures import broken, undeliverable
from archfront.search.engine.file_cache import sent_root
from archfront.search.engine.file_parts import Entry
from archfront.search.engine.jobs import Job, Perform, Result
from archfront.search.engine.node_files import FilesSetup, NodeFiles
from archfront.search.engine.processes import ProcessEngine
from archfront.trainers.files import write_whole
from archfront.trainers.threads import cores

# Identifies a folder that is shared between machines.
MARK = ".archfront-folder"
Tag = Literal["event", "log", "result"]
LIBRARIES = ("archfront", "ray", "torch", "timm", "onnxruntime")


@dataclass(frozen=True)
class Item:
    """Something that happened at a node, for the driver.

    Attributes:
        place: Its place in the order of all that happened there, from 1.
        tag: ``event`` and ``result`` of a job, or ``log``.
        job: Number of the job; 0 for a line of the log.
        content: The pickled event or result; or name, level and text of the line.
        files: What the job wrote that the driver has to fetch.
    """

    place: int
    tag: Tag
    job: int
    content: Any
    files: tuple[Entry, ...] = ()


@dataclass(frozen=True)
class Question:
    """What an agent is asked when it starts.

    Attributes:
        folders: Folders that the node has to see, each with the driver's ``mark_of`` it.
        describe: Gives the machine's device; equal ones measure the same.
    """

    folders: Mapping[str, str] = field(default_factory=dict)
    describe: Callable[[], object] | None = None


@dataclass(frozen=True)
class NodeFacts:
    """What a node says of itself.

    Attributes:
        host: Name of the machine.
        machine: Identifies the machine: of two nodes on one it is the same.
        python: Version of Python.
        versions: Versions of ``LIBRARIES``, ``none`` of those that are not installed.
        cores: Cores that its processes may use.
        memory_gb: Main memory in GiB, and
        free_memory_gb: what of it is free.
        free_disk_gb: Free space for temporary files, in GiB.
        free_cache_gb: The same in the user's cache, where files that are sent are kept.
        clock: Seconds since the epoch, there.
        device: The machine's device; None where nobody asked.
        unseen: Folders that it does not see, or sees as another.
    """

    host: str
    machine: str
    python: str
    versions: Mapping[str, str]
    cores: int
    memory_gb: float
    free_memory_gb: float
    free_disk_gb: float
    clock: float
    device: object = None
    unseen: tuple[str, ...] = ()
    free_cache_gb: float = 0.0


@dataclass(frozen=True)
class Start:
    """What an agent needs to start its workers.

    Attributes:
        perform: The first of the arguments of ``ProcessEngine``, as the following ones.
        gpus: GPUs of each worker that trains, of those that Ray gave the agent.
        lease_s: Seconds without a question of the driver after which the node ends itself: by
            then its jobs may run elsewhere, and write where they write.
        files: What the node has to know of the driver's files; None where it sees them all.
    """

    perform: Perform
    workers: int
    threads: int
    imports: tuple[str, ...]
    exclusive_imports: tuple[str, ...]
    gpus: int = 0
    lease_s: float = math.inf
    files: FilesSetup | None = None


def facts_of(question: Question) -> NodeFacts:
    """Return what this machine says of itself."""
    memory = psutil.virtual_memory()
    return NodeFacts(
        host=socket.gethostname(),
        machine=_machine(),
        python=platform.python_version(),
        versions={name: version_of(name) for name in LIBRARIES},
        cores=cores(),
        memory_gb=memory.total / 2**30,
        free_memory_gb=memory.available / 2**30,
        free_disk_gb=_free_gb(Path(os.environ.get("TMPDIR", "/tmp"))),
        free_cache_gb=_free_gb(sent_root()),
        clock=time.time(),
        device=None if question.describe is None else question.describe(),
        unseen=tuple(path for path, mark in question.folders.items() if mark_of(path) != mark),
    )


def slots_of_gpus(visible: str, gpus: int) -> tuple[dict[str, str], ...]:
    """Return the environment of each worker, so that no two train on one GPU.

    Args:
        visible: Ids of the GPUs that there are, with commas between.
        gpus: GPUs of one worker; 0 leaves its environment as it is.
    """
    if not gpus:
        return ()
    ids = [name for name in visible.split(",") if name]
    parts = [ids[i : i + gpus] for i in range(0, len(ids) - gpus + 1, gpus)]
    return tuple({"CUDA_VISIBLE_DEVICES": ",".join(part)} for part in parts)


def mark_of(path: str) -> str:
    """Return what tells a folder or file from another one of its path on another machine.

    It is the text of ``MARK`` in it where there is one, else a hash of the names in it, or the
    size of a file; empty for what is not there.
    """
    found = Path(path)
    try:
        if not found.is_dir():
            return f"{found.stat().st_size} bytes"
        if (found / MARK).is_file():
            return (found / MARK).read_text(encoding="utf-8")
        names = "\n".join(sorted(os.listdir(found)))
    except (OSError, UnicodeDecodeError):
        return ""
    return hashlib.sha256(names.encode(errors="surrogateescape")).hexdigest()


def question_of(folders: Iterable[str], describe: Callable[[], object] | None) -> Question:
    """Return what a node is asked now: the marks of folders change.

    Args:
        folders: Folders and files that jobs read or write.
        describe: Gives the machine's device.
    """
    return Question({folder: mark_of(folder) for folder in folders}, describe)


def write_mark(folder: Path) -> None:
    """Write the file by which nodes know a folder, anew: a copy of it has the one before."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / MARK, uuid.uuid4().hex)


def version_of(library: str) -> str:
    """Return the version of a library here, ``none`` where it is not installed."""
    try:
        return version(library)
    except PackageNotFoundError:
        return "none"


def _free_gb(folder: Path) -> float:
    """Return the free space where a folder is, or will be made, in GiB."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return shutil.disk_usage(there).free / 2**30


def _machine() -> str:
    """Return what two nodes on one machine have in common, containers as well."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return f"{socket.gethostname()} {psutil.boot_time():.0f}"


class NodeAgent:
    """The agent of a node; an actor whose calls may overlap."""

    def __init__(self) -> None:
        with suppress(PermissionError):  # Ray gives it a lower priority, which workers inherit
            os.setpriority(os.PRIO_PROCESS, 0, 0)
        self._engine: ProcessEngine | None = None
        self._files: NodeFiles | None = None
        self._changed = threading.Condition()  # guards what follows
        self._items: list[Item] = []
        self._n_items = 0
        self._jobs: set[int] = set()
        self._asked = math.inf  # until it is listened to for the first time

    def facts(self, question: bytes) -> NodeFacts:
        """Return what this node says of itself."""
        return facts_of(pickle.loads(question))

    def start(self, start: bytes) -> None:
        """Start the workers; what warnings they give goes to the driver."""
        root, ours = logging.getLogger(), logging.getLogger("archfront")
        root.addHandler(_ToDriver(lambda content: self._add("log", 0, content)))
        ours.setLevel(logging.DEBUG)  # the driver's own levels decide
        how: Start = pickle.loads(start)
        self._files = None if how.files is None else NodeFiles(how.files)
        self._engine = ProcessEngine(
            how.perform,
            workers=how.workers,
            threads=how.threads,
            imports=how.imports,
            exclusive_imports=how.exclusive_imports,
            slot_variables=slots_of_gpus(os.environ.get("CUDA_VISIBLE_DEVICES", ""), how.gpus),
            is_reaper_apart=True,  # Ray kills an agent's children, and leaves theirs
        )
        threading.Thread(target=self._watch, args=(how.lease_s,), daemon=True).start()

    def files(self, name: str, *arguments: Any) -> Any:
        """Return what a method of this node's ``NodeFiles`` returns."""
        return getattr(self._files, name)(*arguments)

    def submit(self, number: int, message: bytes, given: tuple[Entry, ...] = ()) -> None:
        """Take a pickled job by its number; one that was taken already is not done twice.

        Args:
            number: Of the job.
            message: The job.
            given: The files that were sent for it.
        """
        with self._changed:
            if number in self._jobs:
                return
            self._jobs.add(number)
        try:
            job: Job = pickle.loads(message)
            if self._files is not None:
                job = self._files.begin(number, job, given)
        except Exception as error:
            self._add_result(number, undeliverable("The job cannot be read at its node", error))
            return
        assert self._engine is not None, "an agent is started before it gets a job"
        future = self._engine.submit(job, partial(self._add_event, number))
        future.add_done_callback(lambda done: self._end(number, done))

    def poll(self, acknowledged: int, wait_s: float) -> list[Item]:
        """Return what happened after a place in the order, or nothing after some seconds."""
        self._asked = time.monotonic()
        with self._changed:
            self._items = [item for item in self._items if item.place > acknowledged]
            self._changed.wait_for(lambda: self._items, wait_s)
            self._asked = time.monotonic()
            return list(self._items)

    def close(self) -> None:
        """End the workers with their children, and remove what jobs wrote."""
        if self._engine is not None:
            self._engine.close()
        if self._files is not None:
            self._files.close()

    def _watch(self, lease_s: float) -> None:
        """End this process when the driver has not asked for long; the body of a thread."""
        while time.monotonic() - self._asked < lease_s:
            time.sleep(min(1.0, lease_s / 4))
        os._exit(1)  # the reaper kills the workers

    def _add_event(self, number: int, event: Any) -> None:
        self._add("event", number, pickle.dumps(event))

    def _end(self, number: int, future: Future[Result]) -> None:
        result = future.result()
        files: tuple[Entry, ...] = ()
        try:
            if self._files is not None:
                result, files = self._files.end(number, result)
        except Exception as error:  # the files that it wrote cannot be read
            result = broken(error)
        self._add_result(number, result, files)

    def _add_result(self, number: int, result: Result, files: tuple[Entry, ...] = ()) -> None:
        self._add("result", number, pickle.dumps(result), files)

    def _add(self, tag: Tag, job: int, content: Any, files: tuple[Entry, ...] = ()) -> None:
        with self._changed:
            self._n_items += 1
            self._items.append(Item(self._n_items, tag, job, content, files))
            self._changed.notify_all()


class _ToDriver(logging.Handler):
    """The handler that passes lines of the log on to the driver's logger of the same name."""

    def __init__(self, send: Callable[[tuple[str, int, str]], None]) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        self._send((record.name, record.levelno, self.format(record)))
