"""What is known of studies together: what people want, what runs, what the records say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from archfront.search.config.compose import load
from archfront.search.errors import RequestError
from archfront.search.records.paths import StudyPaths
from archfront.search.service.bodies import Study
from archfront.search.service.driver_process import DriverProcess
from archfront.search.service.read_studies import ReadStudies
from archfront.search.service.service_settings import ServiceSettings
from archfront.search.service.study_rows import State, StudyRow, StudyRows
from archfront.search.service.study_summary import UNREAD, StudySummary

# Configurations that are kept in memory.
N_CONFIGS = 64
# Who made a study that no request made.
BY_PERSON = "command line"
# The state of a study that a person ran, by how its records say that its last run ended.
STATES: Mapping[str, State] = {
    "finished": "finished",
    "interrupted": "paused",
    "failed": "failed",
    "unreadable": "failed",
}


class _Line(NamedTuple):
    """A study in a list, with what it was made of.

    Attributes:
        row: What people want of it.
        summary: What its records say.
        is_driven: Whether a driver runs it that no request asked for.
        study: The study.
    """

    row: StudyRow | None
    summary: StudySummary | None
    is_driven: bool
    study: Study


class StudyViews:
    """What is known of the studies of a root, of requests and of persons at a terminal.

    Args:
        settings: Those of the server.
        rows: What people want of each study.
        records: Reads what the studies found.
    """

    def __init__(self, settings: ServiceSettings, rows: StudyRows, records: ReadStudies) -> None:
        self._settings, self._rows, self._records = settings, rows, records
        self._configs: dict[str, tuple[int, str]] = {}
        self._lines: dict[str, _Line] = {}

    def listed(self) -> list[Study]:
        """Return every study: those of requests, the oldest first, then those of persons.

        A study of which nothing has changed is the same object as in the list before.
        """
        rows = {row.name: row for row in self._rows.listed(whole=False)}
        summaries = self._records.summaries(self._records.names())
        names = (*rows, *sorted(summaries.keys() - rows.keys()))
        lines = {name: self._listed(name, rows.get(name), summaries.get(name)) for name in names}
        self._lines = lines
        return [line.study for line in lines.values()]

    def _listed(self, name: str, row: StudyRow | None, summary: StudySummary | None) -> _Line:
        is_driven = (row is None or not row.is_open) and self.is_driven(name)
        line = self._lines.get(name)
        if line is not None and line[:3] == (row, summary, is_driven):
            return line
        return _Line(row, summary, is_driven, Study(**self._line(name, row, summary)))

    def row(self, name: str) -> dict[str, Any] | None:
        """Return one study as a list has it; None where there is none."""
        row, summary = self._rows.get(name), self._summary(name)
        return None if row is None and summary is None else self._line(name, row, summary)

    def shown(self, name: str) -> dict[str, Any]:
        """Return one study with its configuration.

        Raises:
            RequestError: If there is none of this name.
        """
        row = self._rows.get(name)
        content = self.stored(name) if row is None else row.content
        return {
            **self._line(name, row, self._summary(name)),
            "config": content,
            "command": None if row is None else row.command,
        }

    def is_asked_for(self, name: str) -> bool:
        """Return whether a request made a study of this name, begun or not."""
        return self._rows.get(name) is not None

    def log(self, name: str) -> list[str]:
        """Return the last lines that the driver of a study printed.

        Raises:
            RequestError: If there is no study of this name.
        """
        if self._rows.get(name) is None and not self.has_begun(name):
            raise _absent(name)
        return DriverProcess(self._settings, name).said()

    def row_of_person(self, name: str) -> StudyRow:
        """Return the row that a study which a person started would have.

        Raises:
            RequestError: If there is no study of this name.
        """
        content = self.stored(name)
        summary = self._records.summary(name)
        state = self._state_of_person(name, summary)
        return StudyRow(
            name=name,
            wanted="pause" if state == "paused" else "run",
            state=state,
            reason=summary.row["reason"],
            config=json.dumps(content),
            created=summary.row.get("started") or 0.0,
            created_by=BY_PERSON,
        )

    def _state_of_person(self, name: str, summary: StudySummary) -> State:
        """Return the state of a study that has no row: that of its driver and its records."""
        return "running" if self.is_driven(name) else STATES.get(summary.state, "stopped")

    def stored(self, name: str) -> dict[str, Any]:
        """Return the composed configuration beside a study's records, without their places.

        Raises:
            RequestError: If there is no study of this name.
        """
        if not self.has_begun(name):
            raise _absent(name)
        file = self.paths(name).config
        if file.is_file():
            content = self._loaded(name, file)
        else:  # another machine runs it, with its records in PostgreSQL
            content = self._records.results(name).begun().config
        return {group: part for group, part in content.items() if group != "tracking"}

    def _loaded(self, name: str, file: Path) -> dict[str, Any]:
        """Return the content of a configuration, which is parsed once until the file changes."""
        changed_ns = file.stat().st_mtime_ns
        at, text = self._configs.get(name, (-1, ""))
        if at != changed_ns:
            text = json.dumps(load(file, ()).content)
            if len(self._configs) >= N_CONFIGS:
                self._configs.clear()
            self._configs[name] = changed_ns, text
        content: dict[str, Any] = json.loads(text)
        return content

    def has_begun(self, name: str) -> bool:
        """Return whether a study of this name has records."""
        return self._records.has_begun(name)

    def is_there(self, name: str) -> bool:
        """Return whether a study of this name has files or records, whoever made it."""
        return self.paths(name).folder.exists() or self.has_begun(name)

    def forget(self, name: str) -> None:
        """Forget a study that was deleted."""
        self._records.forget(name)
        self._configs.pop(name, None)

    def is_driven(self, name: str) -> bool:
        """Return whether a driver runs a study; of another machine it is told a second late."""
        return self._records.is_driven(name)

    def _summary(self, name: str) -> StudySummary | None:
        """Return what lists show of the records of a study; None where it has none."""
        return self._records.summary(name) if self.has_begun(name) else None

    def _line(
        self, name: str, row: StudyRow | None, summary: StudySummary | None
    ) -> dict[str, Any]:
        """Return a study in a line of a table."""
        found = {} if summary is None else summary.row
        state: dict[str, Any]
        if row is not None:
            state = {"state": row.shown_state, "wanted": row.wanted, "created": row.created}
            state |= {"created_by": row.created_by}
            if not row.is_open and self.is_driven(name):  # by a person, once more
                state["state"] = "running"
        elif summary is not None:
            known = UNREAD.state if summary is UNREAD else self._state_of_person(name, summary)
            state = {"state": known, "wanted": None}
            state |= {"created": found.get("started"), "created_by": BY_PERSON}
        reason = found.get("reason", "") if row is None else row.reason
        return {"name": name, **found, **state, "reason": reason}

    def paths(self, name: str) -> StudyPaths:
        """Return where the files of a study lie, if there is one."""
        return StudyPaths(self._settings.root, name)


def _absent(name: str) -> RequestError:
    return RequestError(
        404, "no_such_study", f"There is no study {name!r}. GET /api/v1/studies lists them."
    )
