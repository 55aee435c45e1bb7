"""The process of ``isolated.py``: opens one file, then answers arrays until nobody asks."""

from __future__ import annotations

import io
import json
import os
import resource
import sys
import tempfile
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from archfront.search.errors import ArchfrontError
from archfront.search.predict.openers import open_file
from archfront.search.predict.opening import Opening


def main() -> None:
    """Answer whoever holds the other end of the socket that ``sys.argv`` names."""
    # Libraries ask for a folder of temporary files when they are imported; none can be written to.
    tempfile.tempdir = os.path.abspath(os.sep)
    with Connection(int(sys.argv[1])) as connection, suppress(EOFError, OSError):
        try:
            _answer(connection)
        except (ArchfrontError, MemoryError) as error:
            reason = str(error) or "the memory does not suffice."
            connection.send_bytes(b"-" + reason.encode(errors="replace"))


def _answer(connection: Connection) -> None:
    asked = json.loads(connection.recv_bytes())
    opener, path, limits = asked.pop("opener"), Path(asked.pop("path")), asked.pop("limits")
    names = tuple(asked.pop("output_names"))
    _allow(limits["load_s"] * asked["threads"])
    # The parent process has seen that the file is no program.
    opening = Opening(path, names, **{**asked, "is_trusted": True})
    with open_file(opener, opening) as opened:
        connection.send_bytes(b"+")
        while True:
            images = np.load(io.BytesIO(connection.recv_bytes()), allow_pickle=False)
            _allow(limits["image_s"] * opening.threads * len(images))
            buffer = io.BytesIO()
            np.savez(buffer, allow_pickle=False, **opened.outputs(images))
            connection.send_bytes(b"+" + buffer.getvalue())


def _allow(seconds: int) -> None:
    """Let the system end this process after so much more processor time."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(used.ru_utime + used.ru_stime) + 1 + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
