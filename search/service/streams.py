"""The streams of a server: how many there are, and what they have in common."""

from __future__ import annotations

import threading
import time

from archfront.search.errors import RequestError
from archfront.search.service.bodies import Study
from archfront.search.service.live_study import LiveStudies
from archfront.search.service.state import Service

# Streams at once: each keeps a connection.
MOST_STREAMS = 100
# Seconds for which the states of all studies are taken for those of now.
FRESH_S = 0.9


class Streams:
    """The streams of a server.

    Attributes:
        live: What runs in each study.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self.live = LiveStudies()
        self._turns = threading.BoundedSemaphore(MOST_STREAMS)
        self._lock = threading.Lock()
        self._listed: tuple[float, list[Study]] = (float("-inf"), [])
        self._shown: dict[str, tuple[float, Study | None]] = {}

    def take(self) -> None:
        """Take the place of a stream, which ``give_back`` gives back.

        Raises:
            RequestError: If there are too many.
        """
        if not self._turns.acquire(blocking=False):
            raise RequestError(
                503, "too_many_streams", f"{MOST_STREAMS} streams are open. Ask again later."
            )

    def give_back(self) -> None:
        """Give the place of a stream back."""
        self._turns.release()

    def studies(self) -> list[Study]:
        """Return all studies, looked at once for all streams."""
        with self._lock:
            at, found = self._listed
            if time.monotonic() - at >= FRESH_S:
                found = self._service.views.listed()
                self._listed = (time.monotonic(), found)
        return found

    def study(self, name: str) -> Study | None:
        """Return a study, looked at once for all streams of it; None where it is not there."""
        with self._lock:
            at, found = self._shown.get(name, (float("-inf"), None))
        if time.monotonic() - at >= FRESH_S:
            row = self._service.views.row(name)
            found = None if row is None else Study(**row)
            with self._lock:
                self._shown[name] = time.monotonic(), found
                while len(self._shown) > MOST_STREAMS:
                    del self._shown[next(iter(self._shown))]
        return found
