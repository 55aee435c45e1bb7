"""What runs in a study now, put together from its log of events."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from pathlib import Path
from typing import Any

from archfront.search.records.candidate import Candidate
from archfront.search.records.codec import decode
from archfront.search.service.event_answers import Notice, RunningTrial
from archfront.search.service.log_reader import LogReader, Mark

# Notices that are shown of a study, the last ones.
N_NOTICES = 20
# Studies whose trials are kept in memory, those that were asked for last.
N_KEPT = 128


class LiveStudy:
    """The trials of a study that run, and its notices.

    Args:
        path: Its log of events.
    """

    def __init__(self, path: Path) -> None:
        self._log = LogReader(path)
        self._lock = threading.Lock()
        self._mark = self._log.begin()
        self._running: dict[int, RunningTrial] = {}
        self._notices: deque[Notice] = deque(maxlen=N_NOTICES)

    def now(self) -> tuple[Mark, list[RunningTrial], list[Notice]]:
        """Return the end of the log, with what runs there and the last notices."""
        with self._lock:
            if not self._log.holds(self._mark):
                self._restart()
            while True:
                lines, place = self._log.read(self._mark)
                for line in lines:
                    self._take(line.content)
                if place == self._mark:
                    break
                self._mark = place
            running = [trial.model_copy() for trial in self._running.values()]
            return self._mark, running, list(self._notices)

    def _restart(self) -> None:
        self._mark = self._log.begin()
        self._running.clear()
        self._notices.clear()

    def _take(self, event: dict[str, Any]) -> None:
        """Apply an event; what it lacks or has in another form changes nothing."""
        trial, time = event.get("trial"), event.get("time")
        if not isinstance(time, int | float):
            return
        match event["event"]:
            case "StudyStarted" | "StudyFinished":
                self._running.clear()
            case "TrialsStopped":
                for stopped in _list(event.get("trials")):
                    self._running.pop(stopped, None)
            case "Noticed":
                self._notices.append(Notice(time=time, message=str(event.get("message"))))
            case name if isinstance(trial, int):
                self._of_trial(name, trial, event, float(time))

    def _of_trial(self, name: str, trial: int, event: dict[str, Any], time: float) -> None:
        match name:
            case "TrialProposed" | "TrialPromoted":
                rung = event.get("rung")
                self._running[trial] = RunningTrial(
                    trial=trial,
                    label=_label(event.get("candidate")),
                    stage="measuring" if name == "TrialProposed" else "training",
                    rung=rung if isinstance(rung, int) else 0,
                    since=time,
                    changed=time,
                )
            case "TrialMeasured":
                self._change(trial, time, stage="training", latency_ms=_p50(event))
            case "WeightsFetched":
                mb, of_mb = event.get("mb"), event.get("of_mb")
                self._change(trial, time, stage="fetching", fetched_mb=mb, of_mb=of_mb)
            case "EpochFinished":
                epoch, metrics = event.get("epoch"), event.get("metrics")
                before = self._running.get(trial)
                epoch_s = None if before is None else time - before.changed
                values = {"epoch": epoch, "epoch_s": epoch_s, "metrics": metrics or {}}
                self._change(trial, time, stage="training", **values)
            case "RungFinished" | "TrialFinished":
                self._running.pop(trial, None)

    def _change(self, trial: int, time: float, **values: Any) -> None:
        running = self._running.get(trial)
        if running is not None:
            self._running[trial] = running.model_copy(update={"changed": time, **values})


class LiveStudies:
    """The trials that run in the studies of a root, each log read on from where it was left."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Path, LiveStudy] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, path: Path) -> LiveStudy:
        """Return what runs in the study of a log."""
        with self._lock:
            study = self._kept.get(path)
            if study is None:
                study = self._kept[path] = LiveStudy(path)
            self._kept.move_to_end(path)
            while len(self._kept) > N_KEPT:
                self._kept.popitem(last=False)
        return study


def _label(candidate: Any) -> str:
    """Return a candidate of the log for people, as ``resnet18@64 avg``; empty if it is none."""
    try:
        return decode(Candidate, candidate).label
    except (ValueError, TypeError):
        return ""


def _p50(event: dict[str, Any]) -> float | None:
    measurement = event.get("measurement")
    latency = measurement.get("latency") if isinstance(measurement, dict) else None
    value = latency.get("p50_ms") if isinstance(latency, dict) else None
    return float(value) if isinstance(value, int | float) else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
