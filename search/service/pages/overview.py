"""The studies of a root as a list shows them: what each found and what it does now."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from archfront.search.errors import ConfigError, RequestError, StudyError
from archfront.search.service.event_answers import RunningTrial
from archfront.search.service.live_study import LiveStudies
from archfront.search.service.state import ReadStudy, Service
from archfront.search.service.study_parts import TimePart, TrialsPart
from archfront.search.service.study_summary import UNREAD, StudySummary


class Overview:
    """The list of studies as JSON, one row for each that has begun, the last one first.

    What has not changed is not made again, and of many who ask at once one makes what is new.

    Args:
        service: The service.
        live: What runs in each study.
    """

    def __init__(self, service: Service, live: LiveStudies) -> None:
        self._service, self._live = service, live
        self._lock = threading.Lock()
        self._begun, self._text = float("-inf"), b""
        self._rows: dict[str, _Row] = {}

    def text(self) -> bytes:
        """Return the list as it is now, or was after the call began."""
        asked = time.monotonic()
        with self._lock:
            if self._begun < asked:
                begun = time.monotonic()
                self._text = self._made()
                self._begun = begun
            return self._text

    def _made(self) -> bytes:
        rows = dict[str, _Row]()
        for name, summary in self._service.records.summaries(self._service.names()).items():
            kept = self._rows.get(name)
            if kept is None or kept.summary is not summary or summary.state == "running":
                try:
                    row = _row(self._service, name, summary, self._live)
                except (RequestError, StudyError):  # deleted meanwhile
                    continue
                kept = _Row(summary, (-row["started"], name), compact(row))
            rows[name] = kept
        self._rows = rows
        ordered = sorted(rows.values(), key=lambda row: row.place)
        return b"[" + b",".join(row.text for row in ordered) + b"]"


@dataclass(frozen=True)
class _Row:
    """A row of the list.

    Attributes:
        summary: What the records of the study say.
        place: What rows are ordered by.
        text: The row as JSON.
    """

    summary: StudySummary
    place: tuple[float, str]
    text: bytes


def compact(content: Any) -> bytes:
    """Return an answer as JSON that is too large to be checked field by field on its way."""
    return json.dumps(content, separators=(",", ":"), allow_nan=False).encode()


def running(service: Service, name: str, live: LiveStudies) -> dict[str, Any]:
    """Return what a study does now: its state, its trials in flight and what is left of it.

    One that has not begun, such as one that waits for its turn, has only a state and a reason.

    Raises:
        RequestError: If there is no study of this name.
        StudyError: If its records cannot be read.
    """
    if not has_records(service, name):
        row = service.views.shown(name)
        nothing = {"n": 0, "has_begun": False, "trials": [], "left": {}, "now": time.time()}
        return {"state": row["state"], "reason": row["reason"], **nothing}
    study = service.records.read(name)
    results, is_alive = study.results, service.records.is_driven(name)
    now = time.time()
    rungs = [] if results.header is None else list(results.header.rungs)
    # Of a study that has ended the log is not read: it may be long.
    found = live.of(service.paths(name).events).now()[1] if is_alive else []
    trials = [_trial(trial, rungs, now) for trial in found]
    state = "stopped" if results.state == "running" and not is_alive else results.state
    has_begun = results.header is not None
    left: dict[str, float] = {}
    if state == "running" and has_begun:
        first = min((trial.since for trial in found), default=None)
        left = _left(study, _budget(service, name, study), first, now)
    return {
        "state": state,
        "reason": results.reason,
        "n": len(results.evaluations),
        "has_begun": has_begun,
        "trials": trials,
        "left": left,
        "now": now,
    }


def has_records(service: Service, name: str) -> bool:
    """Return whether records of a study are there; of one without a request they have to be."""
    if not service.views.has_begun(name):
        return False
    is_kept_elsewhere = service.settings.storage_url is not None
    is_asked_for = service.views.is_asked_for(name)
    return is_kept_elsewhere or not is_asked_for or service.paths(name).journal.is_file()


def _trial(trial: RunningTrial, rungs: Sequence[int], now: float) -> dict[str, Any]:
    """Return a trial in flight, with the epochs of its rung and the seconds to its end."""
    epochs = None
    if trial.stage == "training" and trial.rung < len(rungs):
        epochs = rungs[trial.rung]
    # A training that was promoted goes on from the rung below.
    below = rungs[trial.rung - 1] if epochs and trial.rung else 0
    done = max(trial.epoch or 0, below)
    left_s = None
    if epochs and trial.epoch_s is not None:
        left_s = max(0.0, (epochs - done) * trial.epoch_s - (now - trial.changed))
    return {
        "trial": trial.trial,
        "label": trial.label,
        "stage": trial.stage,
        "seconds": round(max(0.0, now - trial.since), 1),
        "rung": trial.rung,
        "epoch": done,
        "epochs": epochs,
        "left_s": left_s,
        "values": trial.metrics,
        "latency_ms": trial.latency_ms,
    }


def _row(service: Service, name: str, found: StudySummary, live: LiveStudies) -> dict[str, Any]:
    reason = (found.row["reason"].splitlines() or [""])[0]
    row = {"name": name, "state": found.state, "reason": reason, "started": 0.0}
    if found.state in ("unreadable", UNREAD.state):
        return row
    row |= {"left": {}, "running": [], "counts": found.row["counts"]}
    if found.state == "running":
        now = running(service, name, live)
        row |= {"state": now["state"], "left": now["left"], "running": now["trials"]}
    if found.shown:
        row |= {key: found.row[key] for key in ("started", "task", "metric")} | found.shown
    return row


def _budget(service: Service, name: str, study: ReadStudy) -> Mapping[str, Any]:
    """Return the budget of a study's last run, which may be larger than that of its first one."""
    budget: Any = None
    with suppress(RequestError, ConfigError, OSError):
        budget = service.views.stored(name).get("budget")
    # Whoever wrote the file beside the records by hand may have left the budget out.
    return budget if isinstance(budget, dict) else study.results.begun().config["budget"]


def _left(
    study: ReadStudy, budget: Mapping[str, Any], first: float | None, now: float
) -> dict[str, float]:
    """Return what is left of a running study's budget: minutes, or trainings in full.

    Args:
        study: Its records.
        budget: The budget of this run.
        first: When the first trial in flight began, in seconds since the epoch; None for no trial.
        now: The time, in seconds since the epoch.
    """
    left: dict[str, float] = {}
    if budget.get("minutes") is not None:
        active = study.part(TimePart).active
        spent = active.until(now) if first is None else active.until(first) + max(0.0, now - first)
        left["minutes"] = max(0.0, budget["minutes"] - spent / 60)
    if budget.get("trials") is not None:
        spent = study.part(TrialsPart).trainings(study)
        left["trials"] = max(0.0, budget["trials"] - spent)
    return left
