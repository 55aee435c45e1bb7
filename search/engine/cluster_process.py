"""The inside of the process that is connected to a cluster, on behalf of the driver.

It takes jobs from the driver's pipe, gives them to a ``RayEngine`` and passes on what becomes of
them. A message to the driver is one byte, which says what it is, and a pickle. When the pipe ends,
it ends the engine, and itself whatever the cluster does.
"""

from __future__ import annotations

import ctypes
import logging
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, Literal

from archfront.search.engine.failures import WORKER_FAILED
from archfront.search.engine.jobs import Job, Perform, Result
from archfront.search.engine.placement import ClusterNeeds
from archfront.search.engine.ray_engine import RayEngine
from archfront.search.engine.tasks import Task
from archfront.search.engine.worker import EVENT, LOG, READY, RESULT
from archfront.search.errors import ConfigError

BEGUN, SLOTS, REFUSED, TOLD = b"J", b"N", b"X", b"T"
Order = (
    tuple[Literal["job"], int, Job, bytes]
    | tuple[Literal["cancel"], int]
    | tuple[Literal["close"]]
)
# In which the engine ends its agents and leaves the cluster; a dead head does not answer.
_END_S = 15.0
# Ray's threads wake four times a second each to see that nothing has come. By so much they may
# wake later, all together; what comes still wakes them at once. The log, "Processor time of a Ray
# cluster's driver".
_SLACK_NS = 500_000_000
_SET_TIMERSLACK = 29  # of prctl(2)


@dataclass(frozen=True)
class ClusterSetup:
    """The first message to the process: the arguments of its ``RayEngine``."""

    perform: Perform
    workers: int
    threads: int
    imports: tuple[str, ...]
    exclusive_imports: tuple[str, ...]
    needs: ClusterNeeds


class _Channel(logging.Handler):
    """This end of the pipe, which is also the handler that passes lines of the log on."""

    def __init__(self, connection: Connection[bytes, bytes]) -> None:
        super().__init__()
        self._connection = connection
        self._sending = threading.Lock()

    def send(self, tag: bytes, content: Any) -> None:
        """Send a message; a driver that is gone shows at the next order."""
        message = tag + pickle.dumps(content)
        try:
            with self._sending:
                self._connection.send_bytes(message)
        except OSError:
            return

    def receive(self) -> Any:
        """Wait for the next message of the driver and return it.

        Raises:
            EOFError: If the driver is gone.
        """
        try:
            return pickle.loads(self._connection.recv_bytes())
        except OSError as error:
            raise EOFError from error

    def emit(self, record: logging.LogRecord) -> None:
        """Pass a line on, but for those of Ray itself."""
        if not record.name.startswith("ray"):
            self.send(LOG, (record.name, record.levelno, self.format(record)))


class _Told(Future[Result]):
    """A future that tells when its job begins to run."""

    def __init__(self, tell: Callable[[], None]) -> None:
        super().__init__()
        self._tell = tell

    def set_running_or_notify_cancel(self) -> bool:
        is_running = super().set_running_or_notify_cancel()
        if is_running:
            self._tell()
        return is_running


def main(fd: int) -> None:
    """Serve the driver at the other end of socket ``fd`` until it closes it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the driver
    os.set_inheritable(fd, False)
    channel = _Channel(Connection(fd))
    logging.getLogger().addHandler(channel)
    logging.getLogger("archfront").setLevel(logging.DEBUG)  # the driver's own levels decide
    try:
        engine = _opened(channel)
        if engine is None:
            return
        try:
            _serve(channel, engine)
        finally:
            _end_after(_END_S)
            engine.close()
    except EOFError:
        return
    except Exception:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(WORKER_FAILED)


def _opened(channel: _Channel) -> RayEngine | None:
    """Return the engine, of which the driver is told, or None if the cluster has none."""
    setup: ClusterSetup = channel.receive()
    if sys.platform == "linux" and setup.needs.address != "local":  # whose nodes would inherit it
        ctypes.CDLL(None).prctl(_SET_TIMERSLACK, ctypes.c_ulong(_SLACK_NS), 0, 0, 0)
    try:
        engine = RayEngine(
            setup.perform,
            workers=setup.workers,
            threads=setup.threads,
            imports=setup.imports,
            exclusive_imports=setup.exclusive_imports,
            needs=setup.needs,
            on_slots=partial(channel.send, SLOTS),
            on_lost=_end_at_once,
            emit=partial(channel.send, TOLD),
        )
    except ConfigError as error:
        channel.send(REFUSED, error.problems)
        return None
    channel.send(READY, (engine.device, engine.n_slots))
    return engine


def _serve(channel: _Channel, engine: RayEngine) -> None:
    """Give the driver's jobs to the engine until the driver ends it, or is gone."""
    taken: set[int] = set()
    waiting: dict[int, Future[Result]] = {}
    while True:
        try:
            order: Order = channel.receive()
        except EOFError:
            return
        if order[0] == "close":
            return
        number = order[1]
        if order[0] == "cancel":
            if number in waiting:
                waiting[number].cancel()
        elif number not in taken:  # a driver that is connected again may send one twice
            taken.add(number)
            future = waiting[number] = _Told(partial(channel.send, BEGUN, number))
            future.add_done_callback(partial(_end_job, channel, number, waiting))
            engine.submit_task(Task(order[2], order[3], partial(_tell, channel, number), future))


def _tell(channel: _Channel, number: int, event: Any) -> None:
    channel.send(EVENT, (number, event))


def _end_job(
    channel: _Channel,
    number: int,
    waiting: dict[int, Future[Result]],
    future: Future[Result],
) -> None:
    waiting.pop(number, None)
    if not future.cancelled():
        channel.send(RESULT, (number, future.result()))


def _end_at_once(reason: str) -> None:
    """End this process, since the cluster is gone: the driver starts another one."""
    sys.stderr.write(f"{reason}\n")
    sys.stderr.flush()
    os._exit(WORKER_FAILED)


def _end_after(seconds: float) -> None:
    """End this process after some seconds, though a call to Ray does not come back."""
    timer = threading.Timer(seconds, os._exit, (WORKER_FAILED,))
    timer.daemon = True
    timer.start()
