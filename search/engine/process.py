"""The driver's side of one worker process: start, talk, pause, resume, end."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection, Pipe
from typing import IO, Any

from archfront.search.engine.threads import thread_variables
from archfront.search.engine.worker import Setup

# The worker gets the driver's sys.path, so that it can import all that the driver can; that is
# why it is not started by -m, which would look for the module before.
_BOOT = (
    "import sys; fd = int(sys.argv[1]); sys.path[:] = sys.argv[2:]; del sys.argv[1:]; "
    "from archfront.search.engine.{} import main; main(fd)"
)
_TAIL_BYTES = 4096


class Stopwatch:
    """The running time of a worker, against a limit; pauses do not count."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._counted = 0.0
        self._since: float | None = None  # None while paused
        self._limit_s: float | None = None
        self._is_expired = False

    def restart(self, limit_s: float | None) -> None:
        """Count from zero."""
        with self._lock:
            self._counted, self._since, self._limit_s = 0.0, self._clock(), limit_s

    def pause(self) -> None:
        """Stop counting until ``resume``."""
        with self._lock:
            self._counted = self._seconds()
            self._since = None

    def resume(self) -> None:
        """Go on counting."""
        with self._lock:
            self._since = self._clock() if self._since is None else self._since

    def lift_limit(self) -> bool:
        """Keep counting without a limit; return whether the limit had been judged passed."""
        with self._lock:
            self._limit_s = None
            return self._is_expired

    def expire(self) -> bool:
        """Judge whether the limit is passed; once it is, it stays so."""
        with self._lock:
            over = self._limit_s is not None and self._seconds() >= self._limit_s
            self._is_expired = self._is_expired or over
            return self._is_expired

    @property
    def seconds(self) -> float:
        """Seconds counted so far."""
        with self._lock:
            return self._seconds()

    def _seconds(self) -> float:
        running = 0.0 if self._since is None else self._clock() - self._since
        return self._counted + running


class WorkerProcess:
    """One worker process, in a session and process group of its own with all its children.

    One thread talks to it (``send``, ``receive``, ``end``); any thread may pause, resume or kill.

    Args:
        threads: Threads of the process.
        start_timeout_s: Seconds of running in which it must be ready.
        variables: Its additional environment.
        module: Module of this package whose ``main`` is the inside of the process.

    Attributes:
        watch: Its running time since the last job began, or since its start.
        is_ready: Whether it has finished its imports.
        last_output: The end of what it printed, once it is ended.
    """

    def __init__(
        self,
        *,
        threads: int,
        start_timeout_s: float,
        variables: Mapping[str, str] | None = None,
        module: str = "worker",
    ) -> None:
        self.watch = Stopwatch()
        self.is_ready = False
        self.last_output = ""
        self._threads = threads
        self._lock = threading.Lock()
        self._is_ended = False
        self._output = _output_file()
        ours, theirs = Pipe()
        self._connection: Connection[Any, Any] = ours
        try:
            environment = os.environ | thread_variables(threads) | dict(variables or {})
            self._process = _spawn(module, theirs.fileno(), self._output, environment)
        except OSError:
            ours.close()
            self._output.close()
            raise
        finally:
            theirs.close()
        self.watch.restart(start_timeout_s)

    @property
    def group(self) -> int:
        """Id of its process group, which is the worker's own process id."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the process has not ended; a paused one has not."""
        with self._lock:
            return not self._is_ended and self._process.poll() is None

    def set_up(self, perform: bytes, imports: tuple[str, ...]) -> None:
        """Send the first message, after which the worker imports what jobs need."""
        self.send(pickle.dumps(Setup(perform, self._threads, imports)))

    def send(self, message: bytes) -> None:
        """Send a message; a worker that is gone shows at the next ``receive``."""
        with contextlib.suppress(OSError):  # another thread may have ended it
            self._connection.send_bytes(message)

    def receive(self) -> tuple[bytes, bytes]:
        """Wait for a message and return its tag and its pickle.

        Raises:
            EOFError: If the worker ended instead, perhaps within a message.
        """
        try:
            message = self._connection.recv_bytes()
        except OSError as error:
            raise EOFError from error
        return message[:1], message[1:]

    def begin(self, limit_s: float | None) -> None:
        """Start its watch and empty its output for another job."""
        self.watch.restart(limit_s)
        os.ftruncate(self._output.fileno(), 0)

    def pause(self) -> None:
        """Stop the whole group where it is. Work already queued on a GPU runs to its end."""
        self.watch.pause()
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let the whole group go on."""
        self._signal(signal.SIGCONT)
        self.watch.resume()

    def kill(self) -> None:
        """Kill the whole group, paused or not; ``end`` must follow."""
        self._signal(signal.SIGKILL)

    def kill_if_overdue(self) -> None:
        """Kill the whole group if its watch is over its limit."""
        if self.watch.expire():
            self.kill()

    def end(self, *, grace_s: float) -> int | None:
        """End the process and its children.

        Args:
            grace_s: Seconds in which it may end by itself.

        Returns:
            Its exit code, negative for a signal; None if it had to be killed here.
        """
        exit_code: int | None = None
        with contextlib.suppress(subprocess.TimeoutExpired):
            exit_code = self._process.wait(grace_s)
        with self._lock:
            if self._is_ended:
                return exit_code
            _kill_group(self.group, signal.SIGKILL)  # children outlive their parent otherwise
            self._process.wait()
            self._is_ended = True
        self._connection.close()
        size = os.fstat(self._output.fileno()).st_size
        start = max(0, size - _TAIL_BYTES)
        self.last_output = os.pread(self._output.fileno(), _TAIL_BYTES, start).decode(
            errors="replace"
        )
        self._output.close()
        return exit_code

    def _signal(self, number: signal.Signals) -> None:
        with self._lock:
            if not self._is_ended:
                _kill_group(self.group, number)


def _spawn(
    module: str, fd: int, output: IO[bytes], environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    paths = (os.path.abspath(str(path)) for path in sys.path)
    return subprocess.Popen(
        [sys.executable, "-c", _BOOT.format(module), str(fd), *paths],
        pass_fds=(fd,),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        env=environment,
        start_new_session=True,
    )


def _output_file() -> IO[bytes]:
    # A file, since a pipe would want a thread that reads it. It has no name, so that nothing
    # is left of it; it is appended to, so that it can be emptied while the worker writes.
    output = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the worker
    flags = fcntl.fcntl(output, fcntl.F_GETFL)
    fcntl.fcntl(output, fcntl.F_SETFL, flags | os.O_APPEND)
    return output


def _kill_group(group: int, number: signal.Signals) -> None:
    # macOS answers "not permitted" for a group of which only unreaped processes are left.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
