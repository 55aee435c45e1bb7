"""The supervisor: a thread that lets what studies are be what people want of them.

It holds nothing that is lost with the server. What people want is in the tables, whether a driver
lives is in its locks, and what a study found is in its records. Where the end of a driver was not
seen, the driver is started again: the study goes on, or says that it is finished.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from archfront.search.errors import ArchfrontError
from archfront.search.records.paths import StudyPaths
from archfront.search.records.store import reading
from archfront.search.results.results import Results
from archfront.search.service.driver_process import Command, DriverProcess
from archfront.search.service.ending_words import complaint, ending_text, status_text
from archfront.search.service.leases import Leases, new_owner
from archfront.search.service.service_database import ServiceDatabase
from archfront.search.service.service_settings import ServiceSettings
from archfront.search.service.study_requests import tracking_of
from archfront.search.service.study_rows import OPEN, State, StudyRow, StudyRows
from archfront.search.service.verb_process import command

logger = logging.getLogger(__name__)

# Seconds between looks at the studies.
LOOK_S = 1.0
# Seconds in which a driver may end by itself, after which it is killed.
PAUSE_S, CANCEL_S = 90.0, 20.0
# Ends of a driver in a row without anything new in the records, after which the study has failed.
# A driver itself gives a candidate up after three.
MAX_ATTEMPTS = 5
# Exit statuses of archfront run: a finished study, one that was interrupted, a refused one.
FINISHED, INTERRUPTED, REFUSED = (0, 3, 4), 130, (1, 2)


class Supervisor:
    """Looks after the studies that this server has the leases of.

    Args:
        settings: Those of the server.
        database: The service's own tables.
        command: Makes a command of the words after ``archfront``.
        clock: Seconds, for the grace of drivers that are to end.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        database: ServiceDatabase,
        *,
        command: Command = command,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._database = settings, database
        self._command, self._clock = command, clock
        self._rows = StudyRows(database)
        self._leases = Leases(database, new_owner())
        self._drivers: dict[str, DriverProcess] = {}
        self._wake, self._is_closed = threading.Event(), False
        self._thread: threading.Thread | None = None
        self._looked: float | None = None
        self._told: dict[str, str] = {}

    @property
    def age_s(self) -> float | None:
        """Return the seconds since it last looked at every study; None before it has."""
        return None if self._looked is None else self._clock() - self._looked

    def start(self) -> None:
        """Look after the studies from now on, in a thread."""
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Look now, since somebody wants something else of a study."""
        self._wake.set()

    def close(self) -> None:
        """Look no longer and give the leases back; drivers go on; repeatable."""
        self._is_closed = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        with contextlib.suppress(ArchfrontError):
            for row in self._rows.listed(OPEN):
                self._leases.release(row.name)

    def look(self) -> None:
        """Look at every study once.

        Raises:
            ServiceError: If the database does not answer.
        """
        rows, now, n_alive = self._rows.listed(OPEN), self._database.now(), 0
        for row in sorted(rows, key=lambda row: row.state == "waiting"):  # those that run first
            is_free = n_alive < self._settings.max_studies
            if not is_free and row.wanted == "run" and row.state == "waiting":
                if row.owner == self._leases.owner:  # another server may have room
                    self._leases.release(row.name)
                continue
            if not self._leases.claim(row, now):
                self._drivers.pop(row.name, None)
                continue
            try:
                n_alive += self._look_at(row, is_free=is_free)
            except (OSError, ArchfrontError) as error:
                self._warn(row.name, f"The study {row.name} is looked at again: {error}")
            else:
                self._told.pop(row.name, None)
        self._looked = self._clock()

    def driver(self, name: str) -> DriverProcess:
        """Return what knows of the driver of a study, whoever looks after it."""
        return DriverProcess(self._settings, name, command=self._command)

    def _run(self) -> None:
        while not self._is_closed:
            self._wake.clear()
            try:
                self.look()
            except ArchfrontError as error:
                self._warn("", f"The supervisor tries again every {LOOK_S:g} s: {error}")
            except Exception:
                logger.exception("The supervisor looks again in %g s", LOOK_S)
            else:
                self._told.pop("", None)
            self._wake.wait(LOOK_S)

    def _warn(self, study: str, text: str) -> None:
        """Log what is wrong with a study, or with all under an empty name, once while it is."""
        if self._told.get(study) != text:
            logger.warning("%s", text)
        self._told[study] = text

    def _driver(self, name: str) -> DriverProcess:
        if name not in self._drivers:
            self._drivers[name] = self.driver(name)
        return self._drivers[name]

    def _look_at(self, row: StudyRow, *, is_free: bool) -> bool:
        """Do what is next for one study; return whether a driver of it lives here now."""
        driver = self._driver(row.name)
        if driver.is_alive():
            self._attend(row, driver)
            if not driver.is_elsewhere():
                return True
            # Only a server of its machine can end it, and that one may be there again.
            self._leases.release(row.name)
            return False
        status = driver.collect()
        if self._end(row, driver, status):
            return False
        values = {} if status is None else self._counted(row, status)
        if values.get("attempts", 0) >= MAX_ATTEMPTS:
            self._settle(row, "failed", ending_text(status or 0, driver.said()))
            return False
        if not is_free:
            if row.state != "waiting":
                self._rows.change(row, state="waiting", pid=None, **values)
            return False
        return self._start(row, driver, values)

    def _attend(self, row: StudyRow, driver: DriverProcess) -> None:
        """Look after a driver that lives."""
        if row.state != "running":
            holder = driver.holder()
            pid = None if holder is None else holder.pid
            # Of a driver that another server started: it has the configuration of that time.
            self._rows.change(row, state="running", pid=pid, reason="")
            row = replace(row, state="running")
        if (reason := self._overuse(driver)) is not None:
            driver.end_now()
            self._settle(row, "failed", reason)
        elif row.wanted == "cancel":
            driver.end(grace_s=CANCEL_S, now=self._clock())
        elif row.wanted == "pause" or row.revision != row.running_revision:
            driver.end(grace_s=PAUSE_S, now=self._clock())

    def _overuse(self, driver: DriverProcess) -> str | None:
        """Return that a study uses more memory than it may; None where it does not."""
        most = self._settings.study_memory_mb
        used = 0.0 if most is None else driver.memory_mb()
        if most is None or used <= most:
            return None
        return (
            f"Its processes used {used:,.0f} MB of memory, more than the {most:,.0f} MB that this "
            "server gives a study. Use smaller batches, fewer workers or a smaller data.memory_mb."
        )

    def _end(self, row: StudyRow, driver: DriverProcess, status: int | None) -> bool:
        """Note how a driver ended that lives no longer; return whether nothing is to be done."""
        driver.forget_ending()
        if status in FINISHED and row.revision == row.running_revision:
            return self._settle(row, "finished", self._recorded_reason(row.name))
        if row.wanted == "pause":
            return self._settle(row, "paused", "")
        if row.wanted == "cancel":
            return self._settle(row, "cancelled", "")
        if status in REFUSED and row.revision == row.running_revision:
            lines = driver.said()
            reason = self._recorded_reason(row.name, "stopped")
            if complaint(lines) is None and reason:
                return self._settle(row, "stopped", reason)
            return self._settle(row, "failed", ending_text(status, lines))
        return False

    def _counted(self, row: StudyRow, status: int) -> dict[str, Any]:
        """Return what a row says of a driver that ended before its study did; empty for nothing.

        Only ends that were seen count: a machine that is shut down says nothing of a study.
        """
        if status in FINISHED or row.revision != row.running_revision:
            return {}
        recorded = self._n_recorded(row.name)
        attempts = row.attempts + 1 if recorded <= row.recorded else 1
        end = status_text(status)
        logger.warning("The study %s: %s", row.name, end)
        return {"attempts": attempts, "recorded": recorded, "reason": f"{end}; started again"}

    def _start(self, row: StudyRow, driver: DriverProcess, values: dict[str, Any]) -> bool:
        """Start a driver; return whether one lives now.

        Args:
            row: The study.
            driver: Its driver, which does not live.
            values: What its row is to say besides.
        """
        values = {"reason": "", "running_revision": row.revision, "state": "running", **values}
        # First the row: a server that dies here has started nothing, and the next one starts it.
        if not self._rows.change(row, **values):
            return False
        after = replace(row, **values)
        try:
            pid = driver.start({**row.content, "tracking": tracking_of(self._settings)})
        except (OSError, ArchfrontError) as error:
            said = str(error).removesuffix(".")
            reason = f"Its driver cannot be started: {said}. The server tries again."
            self._rows.change(after, state="waiting", reason=reason)
            raise
        self._rows.change(after, pid=pid)
        return True

    def _settle(self, row: StudyRow, state: State, reason: str) -> bool:
        """Note what became of a study, unless people want something else of it meanwhile."""
        if self._rows.change(row, state=state, reason=reason, pid=None):
            self._leases.release(row.name)
            self._drivers.pop(row.name, None)
        return True

    def _n_recorded(self, name: str) -> int:
        """Return how many evaluations are recorded; 0 where the records cannot be read."""
        results = self._results(name)
        return 0 if results is None else len(results.evaluations)

    def _recorded_reason(self, name: str, state: str = "finished") -> str:
        """Return why a study ended by its records; empty where it did not end in this state."""
        results = self._results(name)
        return results.reason if results is not None and results.state == state else ""

    def _results(self, name: str) -> Results | None:
        paths = StudyPaths(self._settings.root, name)
        with contextlib.suppress(ArchfrontError):
            return Results.read(reading(paths, self._settings.storage_url), paths)
        return None
