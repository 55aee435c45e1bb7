"""What the workers of test_engine.py do; imports nothing slow, as every worker imports it."""

from __future__ import annotations

import ctypes
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from archfront.search.engine.jobs import Job
from archfront.search.engine.worker import emit, exclusive
from archfront.search.errors import (
    BuildError,
    ConfigError,
    DataError,
    DivergedError,
    ExportError,
    FetchError,
    ParityError,
    WeightsError,
)

ERRORS: dict[str, BaseException] = {
    "build": BuildError("No stride 32 in this network. Choose another backbone."),
    "weights": WeightsError("The weights of resnet18 are missing."),
    "fetch": FetchError("The weights of resnet18 could not be fetched."),
    "export": ExportError("No exporter takes it."),
    "parity": ParityError("The export differs by 0.5."),
    "data": DataError("cat.png is broken."),
    "diverged": DivergedError("The loss is not finite at step 3."),
    "config": ConfigError("The first problem.", "The second problem."),
    "memory": MemoryError("Unable to allocate 7 TiB"),
    "torch cpu memory": RuntimeError(
        "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate "
        "memory: you tried to allocate 4000000000000000 bytes."
    ),
    "other": ValueError("a shape (3, 4) that does not fit"),
    "silent": ValueError(),
    "disk": OSError(28, "No space left on device"),
    "export to a full disk": ExportError("No exporter takes it."),
    "exit": SystemExit(3),
}

ERRORS["export to a full disk"].__cause__ = ERRORS["disk"]


def perform(job: Job) -> Any:
    """Do the job that ``payload = (name, *arguments)`` names, exclusive ones in a block of theirs.

    The jobs that open such blocks themselves are called as they are.
    """
    name, *arguments = job.payload
    if job.is_exclusive and name not in ("rest", "fail shared"):
        with exclusive():
            return JOBS[name](*arguments)
    return JOBS[name](*arguments)


def device_of_node() -> str:
    """Return what stands for the device of a node of SLURM."""
    return f"device of {os.environ.get('SLURMD_NODENAME', 'the driver')}"


class Unreadable:
    """Pickles, but cannot be read back."""

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        """Return what fails when it is read."""
        return _refuse, ("cannot be read",)


def _refuse(message: str) -> None:
    raise OSError(message)


def _raise(name: str) -> None:
    raise ERRORS[name]


def _print_and_exit(text: str) -> None:
    print(text)
    print("on standard error", file=sys.stderr)
    os._exit(3)


def _segfault() -> int:
    return len(ctypes.string_at(0))


def _hang() -> None:
    emit(os.getpid())
    threading.Event().wait()


def _hang_with_child(pids: str) -> None:
    child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
    _write(pids, f"{os.getpid()} {child.pid}")
    threading.Event().wait()


def _fork_and_exit() -> None:
    child = os.fork()
    if child == 0:
        threading.Event().wait()
    emit(child)
    os._exit(3)


def _use_torch() -> None:
    import torch

    emit(torch.get_num_threads())
    torch.set_num_threads(1)
    torch.empty(10**15)


def _copy(given: str, data: str, written: str) -> tuple[str, str]:
    """Write what two files hold to a third one; return its path, as given and as it was here."""
    Path(written).parent.mkdir(parents=True, exist_ok=True)
    Path(written).write_text(Path(given).read_text() + Path(data).read_text())
    return written, "here " + written


def _write_and_hang(path: str) -> None:
    """Write a file, say so by the process id, and never end."""
    Path(path).write_text("half")
    _hang()


def size_of(path: str) -> str:
    """Return the size of a file in words."""
    return f"{Path(path).stat().st_size} bytes"


def noted_process(path: str) -> str:
    """Write the id of a process to a file in its home; return what stands for the device."""
    if os.environ.get("HOME") == str(Path(path).parent):  # every node of a cluster is asked
        _write(path, str(os.getpid()))
    return "device"


def parent_of(pid: int) -> int:
    """Return the parent of a process."""
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def _write(path: str, text: str) -> None:
    part = Path(f"{path}.part")
    part.write_text(text)
    part.rename(path)


def _count_until(stop: str) -> int:
    """Count in emitted events, some hundred a second, until the file ``stop`` is there."""
    n = 0
    while not Path(stop).exists():
        n += 1
        emit(n)
        time.sleep(0.005)
    return n


def _rest(folder: str) -> None:
    """Wait for files of a folder: ``first`` shared, ``second`` exclusive, ``third`` shared."""
    emit("shared")
    _wait_for(f"{folder}/first")
    with exclusive() as shared:
        emit("exclusive")
        _wait_for(f"{folder}/second")
        emit("shared again")
        with shared():
            _wait_for(f"{folder}/third")
        emit("exclusive again")
        _wait_for(f"{folder}/fourth")


def _fail_shared() -> None:
    with exclusive() as shared, shared():
        _raise("other")


def _nest(stop: str) -> int:
    """Open an exclusive block in another one, and count until the file ``stop`` is there."""
    with exclusive() as shared, shared():
        return _count_until(stop)


def _wait_for(path: str) -> str:
    while not Path(path).exists():
        time.sleep(0.005)
    return path


def _spend(seconds: float) -> float:
    """Return after so many seconds of this process's own running time, pauses left out."""
    spent, last = 0.0, time.monotonic()
    while spent < seconds:
        time.sleep(0.005)
        now = time.monotonic()
        spent += min(now - last, 0.01)  # so much of a pause is taken for running
        last = now
    return spent


def _emit_all(events: list[Any]) -> int:
    for event in events:
        emit(event)
    return len(events)


def _log(text: str) -> None:
    logging.getLogger("engine_jobs").info("not passed on")
    logging.getLogger("engine_jobs").warning("%s", text)


JOBS: dict[str, Callable[..., Any]] = {
    "pid": os.getpid,
    "has_imported": lambda name: name in sys.modules,
    "echo": lambda value: value,
    "raise": _raise,
    "lambda": lambda: lambda: None,
    "unreadable": Unreadable,
    "exit": os._exit,
    "print and exit": _print_and_exit,
    "segfault": _segfault,
    "hang": _hang,
    "fork and exit": _fork_and_exit,
    "torch": _use_torch,
    "hang with child": _hang_with_child,
    "count": _count_until,
    "wait": _wait_for,
    "rest": _rest,
    "fail shared": _fail_shared,
    "nest": _nest,
    "spend": _spend,
    "write": _write,
    "write and hang": _write_and_hang,
    "copy": _copy,
    "emit": _emit_all,
    "log": _log,
    "environment": lambda: dict(os.environ),
    "modules": lambda: sorted(sys.modules),
}
