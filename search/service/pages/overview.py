"""The studies of a root as a list shows them: what each found and what it does now."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from archfront.search.errors import RequestError, StudyError
from archfront.search.records.driver_lock import is_driven
from archfront.search.records.seconds import ActiveSeconds, full_trainings
from archfront.search.results.results import Results
from archfront.search.service.event_answers import RunningTrial
from archfront.search.service.live_study import LiveStudies
from archfront.search.service.pages.study_columns import front_rows
from archfront.search.service.state import ReadStudy, Service


def overview(service: Service, live: LiveStudies) -> list[dict[str, Any]]:
    """Return one row for each study that has begun, the last one first."""
    rows = []
    for name in service.names():
        try:
            rows.append(_row(service, name, live))
        except StudyError as error:
            reason = (str(error).splitlines() or [""])[0]
            rows.append({"name": name, "state": "unreadable", "reason": reason, "started": 0.0})
        except RequestError:  # deleted meanwhile
            continue
    return sorted(rows, key=lambda row: (-row["started"], row["name"]))


def running(service: Service, name: str, live: LiveStudies) -> dict[str, Any]:
    """Return what a study does now: its state, its trials in flight and what is left of it.

    One that has not begun, such as one that waits for its turn, has only a state and a reason.

    Raises:
        RequestError: If there is no study of this name.
        StudyError: If its records cannot be read.
    """
    if not _has_records(service, name):
        row = service.views.shown(name)
        nothing = {"n": 0, "has_begun": False, "trials": [], "left": {}, "now": time.time()}
        return {"state": row["state"], "reason": row["reason"], **nothing}
    study = service.read(name)
    results, paths = study.results, service.paths(name)
    is_alive = is_driven(paths)
    now = time.time()
    rungs = [] if results.header is None else list(results.header.rungs)
    _, found, _ = live.of(paths.events).now()
    trials = [_trial(trial, rungs, now) for trial in found] if is_alive else []
    state = "stopped" if results.state == "running" and not is_alive else results.state
    has_begun = results.header is not None
    first = min((trial.since for trial in found), default=None) if is_alive else None
    return {
        "state": state,
        "reason": results.reason,
        "n": len(results.evaluations),
        "has_begun": has_begun,
        "trials": trials,
        "left": _left(study, first, now) if state == "running" and has_begun else {},
        "now": now,
    }


def _has_records(service: Service, name: str) -> bool:
    """Return whether records of a study are there; of one without a request they have to be."""
    if name not in service.names():
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


def _row(service: Service, name: str, live: LiveStudies) -> dict[str, Any]:
    study = service.read(name)
    results = study.results
    now = running(service, name, live)
    header = results.header
    row = {
        "name": name,
        "state": now["state"],
        "reason": (results.reason.splitlines() or [""])[0],
        "started": 0.0 if header is None else header.started,
        "left": now["left"],
        "running": now["trials"],
        "counts": results.counts(),
    }
    if header is not None:
        row |= {"task": header.task, "data": header.data, "metric": header.metric}
        row |= {"device": header.environment.device, "runtime": header.hardware["runtime"]}
        row |= {"images": sum(split.images for split in header.dataset.splits.values())}
        row |= study.once("answer", lambda _: _answer(study))
    return row


def _answer(study: ReadStudy) -> dict[str, Any]:
    """Return the front in few numbers: its size, its points, and those that have names."""
    rows = front_rows(study.front, study.results.objectives)
    named = {word: row for row in rows for word in row["names"]}
    points = [[row["latency_ms"], row["metric"]] for row in rows]
    return {"members": len(rows), "named": named, "points": points}


def _left(study: ReadStudy, first: float | None, now: float) -> dict[str, float]:
    """Return what is left of a running study's budget: minutes, or trainings in full.

    Args:
        study: Its records.
        first: When the first trial in flight began, in seconds since the epoch; None for no trial.
        now: The time, in seconds since the epoch.
    """
    header = study.results.begun()
    budget = header.config["budget"]
    left: dict[str, float] = {}
    if budget.get("minutes") is not None:
        active = study.once("active", _active)
        spent = active.until(now) if first is None else active.until(first) + max(0.0, now - first)
        left["minutes"] = max(0.0, budget["minutes"] - spent / 60)
    if budget.get("trials") is not None:
        spent = study.once("trainings", _trainings)
        left["trials"] = max(0.0, budget["trials"] - spent)
    return left


def _active(results: Results) -> ActiveSeconds:
    return ActiveSeconds(results.evaluations)


def _trainings(results: Results) -> float:
    trained = [e for e in results.evaluations if e.kind == "trained"]
    return full_trainings(trained, results.begun().rungs)
