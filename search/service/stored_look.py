"""What PostgreSQL has of all studies, looked at once a moment for all who ask."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from archfront.search.records.stored_studies import StoredStudy, stored_now

# Seconds for which a look at all studies counts as one of now.
FRESH_S = 1.0


class StoredLook:
    """The studies in a database, without their records.

    Args:
        url: The database, a PostgreSQL.
        clock: Seconds.
    """

    def __init__(self, url: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._url, self._clock = url, clock
        self._lock = threading.Lock()
        self._at, self._found = float("-inf"), dict[str, StoredStudy]()

    def all(self) -> dict[str, StoredStudy]:
        """Return all studies by name, as they were a moment ago.

        Raises:
            DatabaseError: If the database cannot be used.
        """
        with self._lock:
            if self._clock() - self._at >= FRESH_S:
                self._found = stored_now(self._url)
                self._at = self._clock()
            return self._found

    def one(self, name: str) -> StoredStudy | None:
        """Return a study as it is now; None where it is not there.

        Raises:
            DatabaseError: If the database cannot be used.
        """
        return stored_now(self._url, name).get(name)
