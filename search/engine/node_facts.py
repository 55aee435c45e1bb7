"""What a node says of itself, and by what it tells the driver's folders from others."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import socket
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from archfront.search.engine.file_cache import sent_root
from archfront.search.engine.gpu_shares import gpu_memory_gb
from archfront.search.errors import ConfigError
from archfront.search.runtimes.installed import installed_version
from archfront.trainers.files import write_whole
from archfront.trainers.threads import cores

# Identifies a folder that is shared between machines.
MARK = ".archfront-folder"
LIBRARIES = ("archfront", "ray", "torch", "timm", "onnxruntime")


@dataclass(frozen=True)
class Question:
    """What an agent is asked when it starts.

    Attributes:
        folders: Folders that the node has to see, each with the driver's ``mark_of`` it.
        describe: Gives the machine's device; equal ones measure the same.
        uses_gpus: Whether the memory of GPUs matters.
    """

    folders: Mapping[str, str] = field(default_factory=dict)
    describe: Callable[[], object] | None = None
    uses_gpus: bool = False


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
        gpu_memory_gb: Memory of its smallest GPU in GiB; 0 where nobody asked, or it is not known.
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
    gpu_memory_gb: float = 0.0


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
        gpu_memory_gb=gpu_memory_gb() if question.uses_gpus else 0.0,
    )


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


def question_of(
    folders: Iterable[str], describe: Callable[[], object] | None, *, uses_gpus: bool
) -> Question:
    """Return what a node is asked now: the marks of folders change.

    Args:
        folders: Folders and files that jobs read or write.
        describe: Gives the machine's device.
        uses_gpus: Whether the memory of GPUs matters.
    """
    return Question({folder: mark_of(folder) for folder in folders}, describe, uses_gpus)


def write_mark(folder: Path) -> None:
    """Write the file by which nodes know a folder, anew: a copy of it has the one before."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / MARK, uuid.uuid4().hex)


def version_of(library: str) -> str:
    """Return the version of a library here, ``none`` where it is not installed."""
    try:
        return installed_version(library)
    except ConfigError:
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
