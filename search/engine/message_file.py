"""A file by which one process sends messages to another one that sees the same folder.

It is meant for network file systems: every reading opens the file anew, which makes NFS look at
the server; a message that is not there as a whole, or of which only zeros have arrived, is left
for the next reading; and the writer truncates what it could not finish.
"""

from __future__ import annotations

import struct
import threading
import zlib
from pathlib import Path

# Before each message: its length in bytes and its checksum.
_HEADER = struct.Struct(">QI")


class Mailbox:
    """One end of such a file; a process either sends by it or receives.

    Args:
        path: The file; who sends makes it, or finds it empty.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._place = 0  # of the next message, in bytes

    def send(self, message: bytes) -> None:
        """Append a message.

        Raises:
            OSError: If it cannot be written; nothing of it is then sent.
        """
        if not message:
            raise ValueError("A message has at least one byte.")
        with self._lock:
            mode = "r+b" if self._path.exists() else "w+b"
            with self._path.open(mode) as file:
                file.truncate(self._place)
                file.seek(self._place)
                file.write(_HEADER.pack(len(message), zlib.crc32(message)) + message)
            self._place += _HEADER.size + len(message)

    def receive(self) -> list[bytes]:
        """Return the messages that have come whole since the last call.

        Raises:
            OSError: If the file is not there or cannot be read.
        """
        with self._lock:
            with self._path.open("rb") as file:
                file.seek(self._place)
                content = file.read()
            found, place = [], 0
            while place + _HEADER.size <= len(content):
                length, checksum = _HEADER.unpack_from(content, place)
                end = place + _HEADER.size + length
                message = content[place + _HEADER.size : end]
                if not length or len(message) < length or zlib.crc32(message) != checksum:
                    break
                found.append(message)
                place = end
            self._place += place
            return found
