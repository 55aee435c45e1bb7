"""What a study does right now, read from the end of its log of events."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from archfront.search.records.candidate import Candidate
from archfront.search.records.codec import decode

Stage = Literal["measuring", "weights", "training"]
# Bytes that are read of a log at a time.
CHUNK = 4_000_000


@dataclass(frozen=True)
class LiveTrial:
    """A trial in flight.

    Attributes:
        trial: Its number.
        label: Its candidate, for people.
        stage: What is done with it.
        since: When that began, in seconds since the epoch.
        rung: The rung that it is trained to.
        epoch: Epochs of this training that have ended.
        epoch_s: Seconds of the last epoch; None before the first one ended.
        values: Metrics of the last epoch.
        latency_ms: Its latency once it is measured.
    """

    trial: int
    label: str
    stage: Stage
    since: float
    rung: int = 0
    epoch: int = 0
    epoch_s: float | None = None
    values: Mapping[str, float] = field(default_factory=dict)
    latency_ms: float | None = None
    noted: float = 0.0

    def as_dict(self, rungs: list[int], now: float) -> dict[str, Any]:
        """Return plain content, with the epochs of the rung and the seconds to its end."""
        epochs = rungs[self.rung] if self.stage == "training" and self.rung < len(rungs) else None
        # A training that was promoted goes on from the rung below.
        done = max(self.epoch, rungs[self.rung - 1] if epochs and self.rung else 0)
        left_s = None
        if epochs and self.epoch_s is not None:
            left_s = max(0.0, (epochs - done) * self.epoch_s - (now - self.noted))
        return {
            "trial": self.trial,
            "label": self.label,
            "stage": self.stage,
            "seconds": round(max(0.0, now - self.since), 1),
            "rung": self.rung,
            "epoch": done,
            "epochs": epochs,
            "left_s": left_s,
            "values": dict(self.values),
            "latency_ms": self.latency_ms,
        }


class LiveTrials:
    """The trials in flight of studies, of each log only what was added since the last look."""

    def __init__(self) -> None:
        self._read: dict[Path, tuple[int, dict[int, LiveTrial]]] = {}
        self._lock = threading.Lock()

    def of(self, log: Path) -> list[LiveTrial]:
        """Return the trials that a log of events leaves open, by number.

        Args:
            log: The log; one that is not there leaves none open.
        """
        with self._lock:
            start, trials = self._read.get(log, (0, {}))
            try:
                with log.open("rb") as file:
                    size = file.seek(0, 2)
                    if size < start:  # another study of this name
                        start, trials = 0, {}
                    file.seek(start)
                    while start < size and (chunk := _whole_lines(file.read(CHUNK))):
                        start += len(chunk)
                        file.seek(start)
                        trials = after(trials, chunk.splitlines())
            except OSError:
                start, trials = 0, {}
            self._read[log] = (start, trials)
            return [trials[number] for number in sorted(trials)]


def after(trials: Mapping[int, LiveTrial], lines: Iterable[bytes]) -> dict[int, LiveTrial]:
    """Return the trials in flight after more lines of the log; lines that are damaged are none."""
    found = dict(trials)
    for line in lines:
        try:
            event = json.loads(line)
            _apply(found, event["event"], event)
        except (ValueError, KeyError, TypeError):
            continue
    return found


def _apply(trials: dict[int, LiveTrial], kind: str, event: Mapping[str, Any]) -> None:
    if kind in ("StudyStarted", "StudyFinished"):
        trials.clear()
        return
    number, time = event.get("trial"), event["time"]
    if not isinstance(number, int):
        return
    if kind == "TrialProposed":
        trials[number] = LiveTrial(number, _label(event), "measuring", time)
    elif kind in ("TrialMeasured", "TrialPromoted"):
        measured = event.get("measurement", {}).get("latency", {}).get("p50_ms")
        trials[number] = LiveTrial(
            number, _label(event), "training", time,
            rung=event.get("rung", 0), latency_ms=measured, noted=time,
        )  # fmt: skip
    elif kind in ("RungFinished", "TrialFinished"):
        trials.pop(number, None)
    elif number in trials and kind == "WeightsFetched":
        trials[number] = replace(trials[number], stage="weights", noted=time)
    elif number in trials and kind == "EpochFinished":
        was = trials[number]
        begun = was.noted or was.since
        trials[number] = replace(
            was, stage="training", epoch=event["epoch"], epoch_s=time - begun,
            values=event["metrics"], noted=time,
        )  # fmt: skip


def _label(event: Mapping[str, Any]) -> str:
    candidate: Candidate = decode(Candidate, event["candidate"])
    return candidate.label


def _whole_lines(chunk: bytes) -> bytes:
    return chunk[: chunk.rfind(b"\n") + 1]
