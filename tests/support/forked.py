"""Functions called in processes of their own, forked from one that has imported what they need.

A process that starts anew imports torch, Lightning and MLflow for ten seconds before it does
anything. All tests of a worker fork from one server, which ends with the worker. The server is
forked itself, from the worker that has collected the tests and so has imported nearly all of it,
before the first of them is run.
"""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from multiprocessing import connection, forkserver, reduction, resource_tracker, util
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import IO, Any

import pytest

from archfront.search.engine import process as worker_process
from archfront.search.errors import ExportError
from archfront.search.jobs.perform import MEASURING_IMPORTS, TRAINING_IMPORTS
from archfront.search.latency import memory
from tests.support.unsynced import without_syncs

IMPORTED = (
    "archfront.search.commands.launch",
    "archfront.search.study.study",
    "archfront.search.tracking.tracker",
    "archfront.search.runtimes.openvino",
    "hydra.compose",
    "mlflow.store.tracking.sqlalchemy_store",
    "onnxruntime",
    "tests.support.mlflow_template",
    *TRAINING_IMPORTS,
    *MEASURING_IMPORTS,
)


def context() -> ForkServerContext:
    """Return the context whose processes are forked from the server."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(list(IMPORTED))
    return found


def start_server() -> None:
    """Fork the server from this process, in which no test has run yet.

    Without this call the first process starts it anew.
    """
    context()
    resource_tracker.ensure_running()  # it needs nothing of this process
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(util, "spawnv_passfds", _fork_instead)
        forkserver.ensure_running()


def _fork_instead(path: str, words: Sequence[str], kept: Sequence[int]) -> int:
    """Do in a fork of this process what a new interpreter is asked to; return its process id."""
    child = os.fork()
    if child:
        return child
    try:
        faulthandler.disable()  # pytest's writes to a file that is closed next
        start = 3
        for descriptor in sorted(kept):
            os.closerange(start, descriptor)
            start = descriptor + 1
        os.closerange(start, os.sysconf("SC_OPEN_MAX"))
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
        # The parent holds it here, and nobody would give it back.
        forkserver._forkserver._lock = threading.Lock()  # type: ignore[attr-defined]
        select.select(kept, [], [])  # nothing is imported before a test asks for a process
        exec(words[-1], {})
    finally:
        os._exit(1)


def started(function: Callable[..., None], *given: object) -> BaseProcess:
    """Return a process that calls a function of a module, with the environment of this one."""
    process = context().Process(target=_called, args=(dict(os.environ), function, given))
    process.start()
    return process


def _called(
    environment: Mapping[str, str], function: Callable[..., None], given: Sequence[object]
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    with without_syncs():
        function(*given)


def command(
    words: list[str], environment: Mapping[str, str], *, databases: Path
) -> tuple[BaseProcess, Connection]:
    """Return a process that runs the command ``archfront``, and where to read what it prints.

    Args:
        words: Of the command.
        environment: Variables that are set in it.
        databases: Where the empty database of MLflow is kept.
    """
    reader, writer = multiprocessing.Pipe(duplex=False)
    process = started(_command, words, dict(environment), databases, writer)
    writer.close()
    return process, reader


def _command(
    words: list[str], environment: Mapping[str, str], databases: Path, writer: Connection
) -> None:
    from archfront.search.cli import main
    from tests.support.mlflow_template import copied_databases

    os.environ.update(environment)
    # The server has Ctrl-C ignored, and its children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.dup2(writer.fileno(), sys.stdout.fileno())
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    with copied_databases(databases):
        sys.exit(main(words))


def artifact_mb(runtime: str, artifact: Path, threads: int, precision: str) -> float:
    """Return what ``memory.artifact_mb`` does, by a fork that has imported the runtime."""
    reader, writer = multiprocessing.Pipe(duplex=False)
    process = started(_measure_memory, writer, runtime, artifact, threads, precision)
    writer.close()
    with reader:
        try:
            return float(reader.recv())
        except EOFError:
            raise ExportError(f"The process that measures {artifact} ended.") from None
        finally:
            process.join()


def _measure_memory(writer: Connection, *artifact: Any) -> None:
    writer.send(memory.growth_of(*artifact))


@contextmanager
def workers() -> Iterator[None]:
    """Fork the workers of engines, which otherwise import torch anew, within the block."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker_process, "_spawn", _spawn)
        yield


class _Handed:
    """A file descriptor that is handed to a process as it starts."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def __reduce__(self) -> tuple[Callable[[Any], int], tuple[Any]]:
        return _taken, (reduction.DupFd(self.descriptor),)


def _taken(handed: Any) -> int:
    return int(handed.detach())


class Forked:
    """A forked process as ``subprocess.Popen`` has it."""

    def __init__(self, process: BaseProcess) -> None:
        assert process.pid is not None
        self.pid = process.pid
        self._process, self._lock = process, threading.Lock()

    def poll(self) -> int | None:
        with self._lock:  # several threads ask, and the first that sees the end reads it
            return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        connection.wait([self._process.sentinel], timeout)
        status = self.poll()
        if status is None:
            raise subprocess.TimeoutExpired("a worker", timeout or 0.0)
        return status


def _spawn(module: str, fd: int, output: IO[bytes], environment: Mapping[str, str]) -> Forked:
    """Return a process that is what ``worker_process`` starts, with torch imported already."""
    reader, writer = multiprocessing.Pipe(duplex=False)
    paths = [os.path.abspath(path) for path in sys.path]
    given = (module, _Handed(fd), _Handed(output.fileno()), paths, writer)
    process = context().Process(target=_called, args=(dict(environment), _work, given))
    process.start()
    writer.close()
    with reader:
        reader.recv_bytes()  # it leads its own group now, by which it may be killed
    return Forked(process)


def _work(module: str, fd: int, output: int, paths: list[str], writer: Connection) -> None:
    os.setsid()
    writer.send_bytes(b"leads")
    writer.close()
    for descriptor, number in ((os.open(os.devnull, os.O_RDONLY), 0), (output, 1), (output, 2)):
        os.dup2(descriptor, number)
    sys.path[:] = paths
    import_module(f"archfront.search.engine.{module}").main(fd)
