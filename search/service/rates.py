"""The rate of requests: a bucket a client, which fills up with time."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

# Clients that are remembered; the one that asked longest ago is forgotten first.
MOST_CLIENTS = 10_000


class Rates:
    """The requests that each client has left.

    Args:
        per_minute: Requests in a minute, all of which may come at once.
        clock: Seconds.
    """

    def __init__(self, per_minute: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute, self._clock = per_minute, clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def wait_s(self, client: str, *, cost: float = 1.0) -> float:
        """Take a request from what a client has left.

        Returns:
            0, or the seconds to wait where the client has nothing left; nothing is taken then.
        """
        with self._lock:
            now = self._clock()
            left, at = self._left.pop(client, (float(self._per_minute), now))
            left = min(self._per_minute, left + (now - at) * self._per_minute / 60)
            is_enough = left >= max(cost, 1.0)
            self._left[client] = (left - cost if is_enough else left, now)
            while len(self._left) > MOST_CLIENTS:
                self._left.popitem(last=False)
        return 0.0 if is_enough else (max(cost, 1.0) - left) * 60 / self._per_minute

    def give_back(self, client: str) -> None:
        """Give a client a request back that was taken."""
        with self._lock:
            if client in self._left:
                left, at = self._left[client]
                self._left[client] = (min(float(self._per_minute), left + 1), at)
