"""The inside of a worker process: takes job after job from the driver until its pipe ends.

A worker is started as ``python -c "... main(fd)"`` with one end of a socket pair, and nothing of
the user's own script is imported for it. Every message to the driver is one byte, which says
what it is, and a pickle.
"""

from __future__ import annotations

import faulthandler
import gc
import io
import logging
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection
from typing import Any

from archfront.search.engine.failures import (
    WORKER_FAILED,
    broken,
    not_imported,
    undeliverable,
)
from archfront.search.engine.jobs import Broken, Done, Job, Perform, Result
from archfront.search.engine.threads import thread_budget
from archfront.trainers.threads import collector_off

READY, EVENT, LOG, RESULT, EXCLUSIVE, SHARED = b"S", b"E", b"L", b"R", b"A", b"B"

_listener: ContextVar[Callable[[Any], None] | None] = ContextVar("_listener", default=None)
_channel: ContextVar[_Channel | None] = ContextVar("_channel", default=None)


def emit(event: Any) -> None:
    """Send an event, anything that pickles, from within a job to whoever submitted it.

    Outside of a job, and in threads and processes that a job starts itself, nothing happens.
    """
    listener = _listener.get()
    if listener is not None:
        listener(event)


@contextmanager
def exclusive() -> Iterator[Callable[[], AbstractContextManager[None]]]:
    """Pause all other workers within the block, which runs on the thread of a job.

    The block gets a function, ``shared()``, for blocks within it in which the others run. Where
    there are no other workers, and within another exclusive block, nothing happens.
    """
    channel = _channel.get()
    if channel is None or channel.is_exclusive:
        yield nullcontext
        return

    @contextmanager
    def shared() -> Iterator[None]:
        channel.resume_others()
        try:
            yield
        finally:
            channel.pause_others()

    channel.pause_others()
    try:
        yield shared
    finally:
        channel.resume_others()


@contextmanager
def events_to(listener: Callable[[Any], None]) -> Iterator[None]:
    """Hand the events emitted within the block to ``listener``."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


@dataclass(frozen=True)
class Setup:
    """The first message to a worker.

    Attributes:
        perform: The pickled function that does a job.
        threads: Threads per operation.
        imports: Modules to import before the first job.
    """

    perform: bytes
    threads: int
    imports: tuple[str, ...] = ()


class _Channel:
    """The worker's end of the pipe; shut in forked children, so that its end is seen.

    Attributes:
        is_exclusive: Whether the driver has paused all other workers for this one.
    """

    def __init__(self, connection: Connection[bytes, bytes]) -> None:
        self.is_exclusive = False
        self._connection: Connection[bytes, bytes] | None = connection
        self._lock = threading.Lock()
        os.register_at_fork(after_in_child=self._leave)

    def send(self, tag: bytes, content: Any) -> None:
        self.send_bytes(tag + pickle.dumps(content))

    def send_bytes(self, message: bytes) -> None:
        if self._connection is not None:
            with self._lock:
                self._connection.send_bytes(message)

    def receive_bytes(self) -> bytes:
        if self._connection is None:
            raise EOFError
        return self._connection.recv_bytes()

    def pause_others(self) -> None:
        if self._connection is not None:
            self.send(EXCLUSIVE, None)
            self.receive_bytes()  # the driver answers once the others are paused
            self.is_exclusive = True

    def resume_others(self) -> None:
        self.is_exclusive = False
        self.send(SHARED, None)

    def _leave(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class _LogToDriver(logging.Handler):
    """The handler that passes warnings on to the driver's logger of the same name."""

    def __init__(self, channel: _Channel) -> None:
        super().__init__(logging.WARNING)
        self._channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._channel.send(LOG, (record.name, record.levelno, self.format(record)))
        except OSError:
            self.handleError(record)


def main(fd: int) -> None:
    """Serve the driver at the other end of socket ``fd`` until it closes it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the driver
    faulthandler.enable()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # else a crash loses what was printed
    os.set_inheritable(fd, False)
    channel = _Channel(Connection(fd))
    _channel.set(channel)
    logging.getLogger().addHandler(_LogToDriver(channel))
    try:
        setup: Setup = pickle.loads(channel.receive_bytes())
        perform: Perform = pickle.loads(setup.perform)
        unimported = _import(setup, channel)
        channel.send(READY, None)
        while True:
            result = _run(channel.receive_bytes(), perform, channel, setup.threads)
            if unimported is not None and isinstance(result, Broken):
                # A second import of what failed half-way says another, misleading reason.
                result = not_imported(unimported)
            channel.send_bytes(RESULT + _pickled(result))
    except (EOFError, ConnectionError):
        return  # the driver closed the pipe or is gone
    except Exception:  # not of a job: those are caught
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(WORKER_FAILED)


def _import(setup: Setup, channel: _Channel) -> Exception | None:
    """Import the modules that jobs need; return the error of the first that cannot be imported.

    Jobs that do not need it can be done; one that fails is told this reason.
    """
    try:
        with thread_budget(setup.threads), collector_off():
            try:
                for module in setup.imports:
                    import_module(module)
            finally:
                gc.freeze()  # what was imported stays: the collector need not look at it
    except Exception as error:
        channel.send(LOG, (__name__, logging.DEBUG, traceback.format_exc()))
        return error
    return None


def _run(message: bytes, perform: Perform, channel: _Channel, threads: int) -> Result:
    try:
        job: Job = pickle.loads(message)
        with thread_budget(threads), events_to(lambda event: channel.send(EVENT, event)):
            value = perform(job)
    except BaseException as error:  # sys.exit within a job too: it must not end the worker
        channel.send(LOG, (__name__, logging.DEBUG, traceback.format_exc()))
        return broken(error)
    return Done(value, 0.0)


def _pickled(result: Result) -> bytes:
    try:
        return pickle.dumps(result)
    except Exception as error:
        what = "The job's result cannot be sent back to the driver"
        return pickle.dumps(undeliverable(what, error))
