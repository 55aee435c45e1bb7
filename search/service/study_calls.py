"""The calls on studies: what routes, and tests without a server, do with them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from tempfile import NamedTemporaryFile
from typing import Any

import yaml

from archfront.search.config.build import build, completed
from archfront.search.config.rules import is_study_name
from archfront.search.config.schema import Config
from archfront.search.errors import ConfigError, RequestError
from archfront.search.service.bodies import NAME_FIELD
from archfront.search.service.service_settings import ServiceSettings
from archfront.search.service.study_requests import (
    AskedStudy,
    asked_study,
    changed_study,
    tracking_of,
)
from archfront.search.service.study_rows import StudyRow, StudyRows, Wanted, taken
from archfront.search.service.study_views import StudyViews
from archfront.search.service.supervisor import Supervisor
from archfront.search.service.verb_process import VerbProcesses

# Seconds of a dry run, and of a removal, after which it is ended.
PLAN_S, DELETE_S = 300.0, 600.0


class StudyCalls:
    """The calls on studies.

    Args:
        settings: Those of the server.
        rows: What people want of each study.
        supervisor: Runs the studies.
        verbs: Runs commands in processes of their own.
        views: What is known of studies.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        rows: StudyRows,
        *,
        supervisor: Supervisor,
        verbs: VerbProcesses,
        views: StudyViews,
    ) -> None:
        self._settings, self._rows = settings, rows
        self._supervisor, self._verbs, self._views = supervisor, verbs, views

    def check(
        self, name: str, choices: Mapping[str, str], options: Mapping[str, Any]
    ) -> AskedStudy:
        """Return the study that a request asks for, without starting it.

        Raises:
            ConfigError: With every problem, also that of a name which is taken.
            RequestError: If the name is taken, and nothing else is wrong.
        """
        with self._taken_told(name):
            return asked_study(self._settings, name, choices, options)

    def check_plan(
        self, name: str, choices: Mapping[str, str], options: Mapping[str, Any]
    ) -> AskedStudy:
        """Return the study that a plan is asked of, which may have the name of another one.

        Raises:
            ConfigError: With every problem.
        """
        return asked_study(self._settings, name, choices, options)

    def create(self, name: str, asked: AskedStudy, *, start: bool = True, by: str = "") -> None:
        """Add a study, which starts when its turn comes.

        Args:
            name: Name of the study.
            asked: What ``check`` gave.
            start: Whether it starts by itself; else when it is resumed.
            by: Name of the token of whoever asks.

        Raises:
            RequestError: If there is a study of this name.
        """
        self._add(name, asked.config, command=asked.command, start=start, by=by)

    def plan(self, config: Config) -> dict[str, Any]:
        """Return what a study would take, as ``archfront run --dry-run --json`` says.

        Raises:
            ArchfrontError: If the study could not begin.
        """
        content = {**_own(config), "tracking": tracking_of(self._settings)}
        folder = self._settings.folder
        with NamedTemporaryFile("w", dir=folder, suffix=".yaml", encoding="utf-8") as file:
            file.write(yaml.safe_dump(content, sort_keys=False))
            file.flush()
            words = ["run", "--config", file.name, "--dry-run", "--json"]
            printed = self._verbs.call(words, limit_s=PLAN_S)
        found: dict[str, Any] = json.loads(printed)
        return found

    def pause(self, name: str) -> None:
        """Let a study end after what is recorded, until it is resumed.

        Raises:
            RequestError: If it neither runs nor waits.
        """
        row = self._row(name)
        if not row.is_open:
            raise _conflict(row, "only a study that runs or waits can be paused")
        self._change(row, wanted="pause")

    def cancel(self, name: str) -> None:
        """End a study soon; what is recorded stays.

        Raises:
            RequestError: If it is finished or cancelled.
        """
        row = self._row(name)
        if row.is_open:
            self._change(row, wanted="cancel")
        elif row.state in ("paused", "stopped", "failed"):
            self._change(row, wanted="cancel", state="cancelled")
        else:
            raise _conflict(row, "it is over already")

    def resume(self, name: str) -> None:
        """Let a study go on where it ended.

        Raises:
            RequestError: If it is finished.
        """
        row = self._row(name)
        if row.state == "finished":
            raise _conflict(row, "a larger budget lets it go on: POST .../extend")
        if row.state == "deleting":
            raise _conflict(row, "delete it again where that has not ended")
        state = "running" if row.state == "running" else "waiting"
        self._change(row, wanted="run", state=state, attempts=0, reason="")

    def extend(self, name: str, budget: Mapping[str, float | int | None]) -> None:
        """Give a study a larger budget; one that has ended goes on.

        Args:
            name: Name of the study.
            budget: New values of ``minutes`` and ``trials``; None for no such limit.

        Raises:
            ConfigError: If a value is none, or not larger than before.
            RequestError: If there is no study of this name.
        """
        row = self._row(name)
        before = completed(row.content)
        problems = [
            f"budget.{option}: {_fault(value, old)}"
            for option, value in budget.items()
            if not _is_more(value, old := before["budget"].get(option))
        ]
        if problems or not budget:
            raise ConfigError(*problems or ["budget: give more minutes, or more trials."])
        content = {**before, "budget": {**before["budget"], **budget}}
        config = build({**content, "tracking": tracking_of(self._settings)})
        values: dict[str, Any] = {"config": json.dumps(_own(config)), "revision": row.revision + 1}
        if row.state in ("finished", "stopped", "failed"):
            values |= {"wanted": "run", "state": "waiting", "attempts": 0, "reason": ""}
        self._change(row, **values)

    def clone(
        self, name: str, new: str, options: Mapping[str, Any], *, start: bool = True, by: str = ""
    ) -> None:
        """Add a study with the configuration of another one, of which options may be changed.

        Raises:
            ConfigError: With every problem.
            RequestError: If there is none of the first name, or one of the second.
        """
        row = self._rows.get(name)
        content = self._views.stored(name) if row is None else row.content
        with self._taken_told(new):
            config = changed_study(self._settings, content, new, options)
        self._add(new, config, command="", start=start, by=by)

    def delete(self, name: str) -> None:
        """Remove a study with its files and its runs in MLflow.

        Raises:
            RequestError: If it runs or waits.
            ArchfrontError: If something of it cannot be removed.
        """
        row, driver = self._row(name), self._supervisor.driver(name)
        if row.is_open or driver.is_alive():
            raise _conflict(row, "cancel it, and delete it when it has ended")
        self._change(row, state="deleting")
        paths = self._views.paths(name)
        try:
            if paths.config.is_file() or self._views.has_begun(name):
                uri = self._settings.mlflow_uri
                more = [] if uri is None else ["--mlflow-uri", uri]
                self._verbs.call(["delete", name, "--yes", *more], limit_s=DELETE_S)
            shutil.rmtree(paths.folder, ignore_errors=True)
            shutil.rmtree(self._settings.study_folder(name), ignore_errors=True)
        except BaseException:
            self._rows.change(replace(row, state="deleting"), state=row.state)
            raise
        self._rows.remove(name)
        self._views.forget(name)

    @contextmanager
    def _taken_told(self, name: str) -> Iterator[None]:
        """Raise that a name is taken, beside the problems that are found meanwhile."""
        is_taken = is_study_name(name) and (
            self._rows.get(name) is not None or self._views.is_there(name)
        )
        try:
            yield
        except ConfigError as error:
            more = [f"{NAME_FIELD}: {taken(name)}"] if is_taken else []
            raise ConfigError(*more, *error.problems) from error
        if is_taken:
            raise taken(name)

    def _add(self, name: str, config: Config, *, command: str, start: bool, by: str) -> None:
        if self._views.is_there(name):
            raise taken(name)
        wanted: Wanted = "run" if start else "pause"
        self._rows.add(name, _own(config), wanted=wanted, command=command, created_by=by)
        self._supervisor.wake()

    def _change(self, row: StudyRow, **values: Any) -> None:
        """Change a row, which a study of a terminal gets here, and let the supervisor look.

        Raises:
            RequestError: If somebody else changed it at the same time.
        """
        if self._rows.get(row.name) is None:
            self._rows.put(row)
        if not self._rows.change(row, **values):
            raise RequestError(
                409, "changed_meanwhile", f"The study {row.name!r} changed meanwhile. Ask again."
            )
        self._supervisor.wake()

    def _row(self, name: str) -> StudyRow:
        """Return the row of a study; of one that a person started, the row that it would have.

        Raises:
            RequestError: If there is no study of this name.
        """
        return self._rows.get(name) or self._views.row_of_person(name)


def _is_more(value: float | None, before: float | None) -> bool:
    """Return whether a budget is larger than before; None is one without an end."""
    return before is not None and (value is None or value > before)


def _fault(value: float | None, before: float | None) -> str:
    """Return why a budget is not larger than before."""
    if before is None:
        return "the study has no such limit, so that it cannot have more. Leave it out."
    return f"{value} is not more than what the study has in all, {before}. Give the new total."


def _own(config: Config) -> dict[str, Any]:
    """Return a configuration without where the server keeps records."""
    content = config.as_dict()
    del content["tracking"]
    return content


def _conflict(row: StudyRow, advice: str) -> RequestError:
    return RequestError(
        409, "wrong_state", f"The study {row.name!r} is {row.shown_state}: {advice}."
    )
