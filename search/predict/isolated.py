"""A network of unknown origin in a process of its own, with little memory and little time.

A graph cannot read files, but it can ask for all memory or loop for ever, and a damaged file can
end the process that parses it. So the process gets limits of the system, and whatever happens in
it becomes one error here. It writes no file, and talks by arrays, which are not unpickled.
"""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import weakref
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from archfront.search.errors import ArtifactError, ExportError
from archfront.search.predict.opening import Opening

# A runtime holds a file as it was parsed, as weights, and as weights laid out for the processor.
COPIES = 3
# Processor time of one image, for each thread; by the clock ten times the processor time.
IMAGE_S = 5
BY_THE_CLOCK = 10
STACK_KB = 2048
CHILD = "archfront.search.predict.isolated_child"
# The shell sets the limits, since a fork with threads must not run Python in between.
LIMITED = 'ulimit -s "$1"; ulimit -d "$2"; ulimit -f 0; shift 2; exec "$@"'
BOOT = f"import sys; sys.path[:] = sys.argv[2:]; from {CHILD} import main; main()"

Array = NDArray[Any]


@dataclass(frozen=True)
class Limits:
    """What a process may take of the machine.

    Attributes:
        memory_mb: Beside the files: the libraries' own memory, and activations.
        load_s: Processor time of opening a file, for each thread, with the imports before.
    """

    memory_mb: int = 768
    load_s: int = 10


# By opener, where they are others. PyTorch and transformers have 1,070 MB of data after the first
# image of a small network, and took 5.2 s of processor time until then.
LIMITS = {"hf": Limits(2048, 60)}


class Isolated:
    """The outputs of a network that runs in a process of its own.

    Args:
        opener: Key of ``search.predict.openers.OPENERS``.
        opening: The file, which is known not to be a program.

    Raises:
        ArtifactError: If it cannot be opened within the limits.
    """

    def __init__(self, opener: str, opening: Opening) -> None:
        self._opener, self._opening, self._path = opener, opening, opening.path
        self._limits = LIMITS.get(opener, Limits())
        self._memory_mb = self._limits.memory_mb + COPIES * _size_mb(opening)
        self._lock = threading.Lock()
        try:
            self._begin()
        except ExportError as error:
            raise ArtifactError(str(error)) from error

    def _begin(self) -> None:
        ours, theirs = socket.socketpair()
        self._connection = Connection(ours.detach())
        with theirs:
            self._process = _start(theirs.fileno(), self._memory_mb)
        self._end = weakref.finalize(self, _end, self._connection, self._process)
        limits = {"load_s": self._limits.load_s, "image_s": IMAGE_S}
        asked = {**asdict(self._opening), "path": str(self._path), "opener": self._opener}
        asked["limits"] = limits
        self._ask(json.dumps(asked).encode(), self._limits.load_s)

    def outputs(self, images: Array) -> dict[str, Array]:
        """Return the outputs by name for a batch of images, from one thread at a time.

        After an error the process is another one, so that an image costs no other its answer.

        Raises:
            ExportError: If the network does not run within the limits.
        """
        buffer = io.BytesIO()
        np.save(buffer, images, allow_pickle=False)
        with self._lock:
            if not self._end.alive:
                self._begin()
            answer = self._ask(buffer.getvalue(), IMAGE_S * len(images))
        with np.load(io.BytesIO(answer), allow_pickle=False) as found:
            return {name: found[name] for name in self._opening.output_names}

    def _ask(self, message: bytes, limit_s: float) -> bytes:
        """Return what the process answers; raise an ExportError with its reason."""
        try:
            self._connection.send_bytes(message)
            if self._connection.poll(BY_THE_CLOCK * limit_s):
                answer = self._connection.recv_bytes()
                if answer[:1] == b"+":
                    return answer[1:]
                reason = answer[1:].decode(errors="replace").strip()
            else:
                reason = f"it gave no answer within {BY_THE_CLOCK * limit_s:g} s."
        except (EOFError, OSError):
            reason = self._ending(limit_s)
        self._end()
        named = reason if str(self._path) in reason else f"{self._path}: {reason}"
        raise ExportError(
            f"{named} It has no signature of yours, so it runs in a process of "
            f"its own with at most {self._memory_mb:.0f} MB and {limit_s:g} s of time for each "
            "thread. Export it here again, or give --trust to open it without these limits."
        )

    def _ending(self, limit_s: float) -> str:
        """Return why the process is no more."""
        status = self._process.wait()
        if status == -signal.SIGXCPU:
            return f"it took more than {limit_s:g} s of processor time."
        how = signal.Signals(-status).name if status < 0 else f"the exit status {status}"
        return f"it ended its process by {how}, as damaged files and a lack of memory do."

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *raised: object) -> None:
        """End the process."""
        self._end()


def _size_mb(opening: Opening) -> float:
    """Return the size of what is opened: a file with those beside it, or a folder."""
    folder = opening.path if opening.path.is_dir() else opening.path.parent
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


def _start(descriptor: int, memory_mb: float) -> subprocess.Popen[bytes]:
    limits = [str(STACK_KB), str(int(memory_mb * 1000))]
    python = [sys.executable, "-c", BOOT, str(descriptor)]
    paths = [os.path.abspath(path) for path in sys.path]
    return subprocess.Popen(
        ["/bin/sh", "-c", LIMITED, "sh", *limits, *python, *paths],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=[descriptor],
        # An interruption by the keyboard is this process's to answer.
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2", "HF_HUB_OFFLINE": "1"},
    )


def _end(connection: Connection, process: subprocess.Popen[bytes]) -> None:
    connection.close()
    process.kill()
    process.wait()
