"""Ctrl-C and termination: deferred while records are written."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def deferred() -> Iterator[None]:
    """Hold Ctrl-C and termination back until the block is done, then let them through.

    In another thread than the main one, where signals never arrive, nothing is done.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)

    before = {number: signal.signal(number, note) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for which in dict.fromkeys(came):
            signal.raise_signal(which)


def terminate_like_interrupt() -> None:
    """Let a termination by the system (SIGTERM) do what Ctrl-C does.

    That works where Ctrl-C is ignored too, like in a job that a shell put into the background.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
