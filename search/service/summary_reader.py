"""The reader of what lists of studies lack: a thread that reads one study after the other.

At the start of a server these are the studies that no server has read yet, later those that have
changed and take long to be read. Between two studies it rests as long as the first one took, so
that requests have at least half of the processor.
"""

from __future__ import annotations

import logging
import threading
import time

from archfront.search.errors import ArchfrontError
from archfront.search.service.read_studies import ReadStudies

logger = logging.getLogger(__name__)

# Seconds between two passes over the studies.
REST_S = 1.0


class SummaryReader:
    """Reads what lists lack.

    Args:
        records: Knows what they lack, and reads it.
    """

    def __init__(self, records: ReadStudies) -> None:
        self._records = records
        self._is_closed = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Read what lists lack from now on, in a thread."""
        self._records.is_lacking.set()
        self._thread = threading.Thread(target=self._run, name="summaries", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Read nothing more after the study that is read now; repeatable."""
        self._is_closed.set()
        self._records.is_lacking.set()
        if self._thread is not None:
            self._thread.join()

    def look(self) -> None:
        """Read every study that lists lack.

        Raises:
            DatabaseError: If the database of the records cannot be used.
            ServiceError: If the service's own tables cannot be used.
        """
        for name in self._records.names():
            begun = time.monotonic()
            if self._records.fill(name):
                self._is_closed.wait(time.monotonic() - begun)
            if self._is_closed.is_set():
                return

    def _run(self) -> None:
        while not self._is_closed.is_set():
            self._records.is_lacking.wait()
            self._records.is_lacking.clear()
            try:
                self.look()
            except (ArchfrontError, OSError) as error:  # the next list says so, too
                logger.warning("Studies were not read for lists: %s", error)
            except Exception:
                logger.exception("Studies were not read for lists")
            self._is_closed.wait(REST_S)
