"""What lists of studies show of one, kept as long as its records do not change.

A list of a thousand studies could not read them all again for each who asks, nor after each start
of the server: what is known of a study that has ended is in a table, too.
"""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, String, Table, Text, delete, insert, select
from sqlalchemy.exc import IntegrityError

from archfront.search.errors import ServiceError
from archfront.search.service.pages.study_columns import front_rows
from archfront.search.service.service_database import ServiceDatabase
from archfront.search.service.study_parts import Reading, TimePart, TrialsPart
from archfront.search.service.tables import METADATA

# Raised when a summary has other content, so that those of earlier versions are made anew.
VERSION = 1
# What the journal of a study is whose entries are in a database, where each has its number.
STORED = "stored"


@dataclass(frozen=True)
class Stamp:
    """What tells whether the records of a study have changed.

    Attributes:
        text: Another one when they have.
        n_bytes: Their size, about.
        journal: What journal they are in; empty where that is not known, so that nothing of them
            is kept for long.
    """

    text: str
    n_bytes: int
    journal: str

    def goes_on(self, before: Stamp) -> bool:
        """Return whether the journal may be the one of before, with more entries."""
        has_grown = before.n_bytes < self.n_bytes or self.journal == STORED
        return self.journal != "" and self.journal == before.journal and has_grown


SUMMARIES = Table(
    "service_summaries",
    METADATA,
    Column("name", String(255), primary_key=True),
    # Of the records that the summary is of, with the version.
    Column("stamp", String(120), nullable=False),
    Column("content", Text, nullable=False),
)


@dataclass(frozen=True)
class StudySummary:
    """What lists show of a study.

    Attributes:
        state: How its records say that its last run ended; ``unreadable`` where they cannot be
            read, ``reading`` where they are still to be read.
        row: What the API's list has of the records.
        shown: What the page's list has of them besides.
    """

    state: str
    row: dict[str, Any]
    shown: dict[str, Any]


# Of a study that is read in the background.
UNREAD = StudySummary("reading", {"reason": ""}, {})


def summarized(study: Reading) -> StudySummary:
    """Return what lists show of a study."""
    results, trials = study.results, study.part(TrialsPart)
    header, active = results.header, study.part(TimePart).active.total
    row = {
        "reason": results.reason,
        "counts": trials.counts,
        "best": trials.best,
        "metric": None if header is None else header.metric,
        "task": None if header is None else header.task,
        "started": None if header is None else header.started,
        "seconds": {
            "training": trials.training,
            "measuring": trials.measuring,
            "idle": max(0.0, active - trials.training - trials.measuring),
        },
    }
    return StudySummary(results.state, row, {} if header is None else _shown(study))


def unreadable(error: Exception) -> StudySummary:
    """Return the summary of a study whose records cannot be read."""
    return StudySummary("unreadable", {"reason": str(error)}, {})


def _shown(study: Reading) -> dict[str, Any]:
    """Return what a study is, and its front in few numbers: size, points, those with names."""
    header = study.results.begun()
    rows = front_rows(study.front, study.results.objectives)
    return {
        "data": header.data,
        "device": header.environment.device,
        "runtime": header.hardware["runtime"],
        "images": sum(split.images for split in header.dataset.splits.values()),
        "members": len(rows),
        "named": {word: row for row in rows for word in row["names"]},
        "points": [[row["latency_ms"], row["metric"]] for row in rows],
    }


class Summaries:
    """The summaries of the studies of a root.

    Args:
        database: Where those of studies that have ended are kept.
    """

    def __init__(self, database: ServiceDatabase) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._known: dict[str, tuple[str, StudySummary]] | None = None

    def get(self, name: str, stamp: Stamp) -> StudySummary | None:
        """Return the summary of a study as it is now; None where it is to be made."""
        with self._lock:
            if self._known is None:
                self._known = self._stored()
            text, summary = self._known.get(name, ("", None))
        return summary if text == _text(stamp) else None

    def last(self, name: str) -> StudySummary | None:
        """Return the summary of a study as it was last; None where there was none."""
        with self._lock:
            return None if self._known is None else self._known.get(name, (None, None))[1]

    def forget(self, name: str) -> None:
        """Forget a study that was deleted.

        Raises:
            ServiceError: If the database does not answer.
        """
        with self._lock:
            if self._known is not None:
                self._known.pop(name, None)
        with self._database.begin() as connection:
            connection.execute(delete(SUMMARIES).where(SUMMARIES.c.name == name))

    def put(self, name: str, stamp: Stamp, summary: StudySummary) -> None:
        """Keep the summary of a study."""
        with self._lock:
            if self._known is None:
                self._known = self._stored()
            self._known[name] = _text(stamp), summary
        if summary.state in ("running", "unreadable") or not stamp.journal:
            return
        values = {"name": name, "stamp": _text(stamp), "content": json.dumps(vars(summary))}
        # It is made anew where it cannot be kept, or where another server does so.
        with suppress(ServiceError, IntegrityError), self._database.begin() as connection:
            connection.execute(delete(SUMMARIES).where(SUMMARIES.c.name == name))
            connection.execute(insert(SUMMARIES).values(values))

    def _stored(self) -> dict[str, tuple[str, StudySummary]]:
        with self._database.reading() as connection:
            rows = connection.execute(select(SUMMARIES)).all()
        return {
            row.name: (row.stamp, StudySummary(**json.loads(row.content)))
            for row in rows
            if row.stamp.startswith(f"{VERSION}:")
        }


def _text(stamp: Stamp) -> str:
    return f"{VERSION}:{stamp.text}"
