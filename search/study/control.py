"""The control of a running study from outside of its loop: pause and cancel."""

from __future__ import annotations

import threading


class Control:
    """The control of a running study, which another thread pauses or cancels."""

    def __init__(self) -> None:
        self._cancelled = threading.Event()
        self._going = threading.Event()
        self._going.set()

    def cancel(self) -> None:
        """End the study after what is recorded; jobs in flight are run again on resume."""
        self._cancelled.set()

    def pause(self) -> None:
        """Propose nothing more until ``resume``; jobs in flight go on."""
        self._going.clear()

    def resume(self) -> None:
        """Go on proposing."""
        self._going.set()

    @property
    def is_cancelled(self) -> bool:
        """Return whether the study is to end."""
        return self._cancelled.is_set()

    @property
    def is_paused(self) -> bool:
        """Return whether the study is paused, so that nothing may be proposed."""
        return not self._going.is_set()
