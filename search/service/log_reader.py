"""Reading a study's log of events while its driver appends to it, from any place on."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

# Bytes of a line above which it is left out; an event is a few hundred.
LINE_BYTES = 1_000_000
# Lines that are read at a time.
N_LINES = 200
# Digits of the hash that tells one log from another.
HASH_DIGITS = 12
_MARK = re.compile(r"([0-9]{1,15})-([0-9a-f]{12}|new)")


@dataclass(frozen=True)
class Mark:
    """A place between two lines of a log.

    Attributes:
        offset: Bytes before it.
        log: What tells the log from that of an earlier study of the same name; ``new`` where
            there was no line yet.
    """

    offset: int
    log: str

    def __str__(self) -> str:
        """Return the id of an event: where reading goes on after it."""
        return f"{self.offset}-{self.log}"

    @classmethod
    def parse(cls, text: str | None) -> Mark | None:
        """Return the place that an id of an event names; None if it is no such id."""
        found = _MARK.fullmatch(text or "")
        return None if found is None else cls(int(found[1]), found[2])


@dataclass(frozen=True)
class LogLine:
    """An event of a log.

    Attributes:
        end: The place behind it.
        content: ``time``, ``event`` and its fields, as ``records/events.py`` writes them.
    """

    end: Mark
    content: dict[str, Any]


class LogReader:
    """Reads a log of events; nothing of it is held between two calls.

    Args:
        path: The log, which need not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def size(self) -> int:
        """Return the bytes of the log; 0 where there is none."""
        try:
            return self._path.stat().st_size
        except OSError:
            return 0

    def begin(self) -> Mark:
        """Return the place before the first line."""
        return Mark(0, self._log())

    def holds(self, mark: Mark) -> bool:
        """Return whether a place is one of this log, between two lines."""
        if mark.offset == 0:
            return mark.log in ("new", self._log())
        try:
            with self._path.open("rb") as file:
                file.seek(mark.offset - 1)
                return file.read(1) == b"\n" and mark.log == _hash(file)
        except OSError:
            return False

    def read(self, after: Mark) -> tuple[list[LogLine], Mark]:
        """Return some events behind a place, and the place behind them.

        A line that is not whole yet is left for the next call; one that is no event, as a process
        that was killed leaves one, is passed over.
        """
        lines: list[LogLine] = []
        place = after
        try:
            with self._path.open("rb") as file:
                log = _hash(file)
                file.seek(after.offset)
                for _ in range(N_LINES):
                    text = file.readline(LINE_BYTES)
                    if len(text) == LINE_BYTES and not text.endswith(b"\n"):
                        text = _rest(file)
                    if not text.endswith(b"\n"):
                        break
                    place = Mark(file.tell(), log)
                    content = _event(text)
                    if content is not None:
                        lines.append(LogLine(place, content))
        except OSError:
            return [], after
        return lines, place

    def _log(self) -> str:
        try:
            with self._path.open("rb") as file:
                return _hash(file)
        except OSError:
            return "new"


def _hash(file: IO[bytes]) -> str:
    """Return what tells a log from another one: its first line has the time to a microsecond."""
    file.seek(0)
    first = file.readline(LINE_BYTES)
    if not first.endswith(b"\n"):
        return "new"
    return hashlib.sha256(first).hexdigest()[:HASH_DIGITS]


def _rest(file: IO[bytes]) -> bytes:
    """Pass over the rest of a line that is too long, and return its end: empty if it has none."""
    while text := file.readline(LINE_BYTES):
        if text.endswith(b"\n"):
            return b"\n"
    file.seek(0, os.SEEK_END)
    return b""


def _event(text: bytes) -> dict[str, Any] | None:
    """Return the event in a line; None where it holds none."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    is_event = isinstance(content, dict) and isinstance(content.get("event"), str)
    return content if is_event else None
