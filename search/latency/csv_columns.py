"""The columns of a CSV file of latencies, and how their cells are read."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from archfront.search.catalog import catalog
from archfront.trainers.networks.hf.names import is_hub
from archfront.trainers.spec import DETECTIONS
from archfront.trainers.tasks import NECKS, TASKS


class BadCellError(Exception):
    """A cell that does not fit its column; the text of the error says what is needed."""


@dataclass(frozen=True)
class Column:
    """A column of the file.

    Attributes:
        read: Returns the value of a cell; raises ``BadCellError`` if it does not fit.
        default: Value of an empty or absent cell.
        is_required: Whether no cell may be empty.
    """

    read: Callable[[str], Any]
    default: Any = None
    is_required: bool = False


def _any_text(text: str) -> str:
    if not text.isprintable() or len(text) > 200:
        raise BadCellError("up to 200 printable characters are needed")
    return text


def _one_of(known: Iterable[str]) -> Callable[[str], str]:
    names = tuple(known)

    def read(text: str) -> str:
        if text not in names:
            raise BadCellError(f"one of {', '.join(names)} is needed")
        return text

    return read


def _backbone(text: str) -> str:
    if text not in catalog() and not is_hub(text):
        raise BadCellError(f"a timm architecture without a tag is needed{_near(text)}")
    return text


@lru_cache(maxsize=1024)
def _near(name: str) -> str:
    near = difflib.get_close_matches(name.split(".")[0], list(catalog()), n=3)
    return f" (near: {', '.join(near)})" if near else ""


def _whole(low: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) >= low):
            raise BadCellError(f"a whole number of at least {low} is needed")
        return int(text)

    return read


def _number(words: str, is_good: Callable[[float], bool]) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and is_good(value)):
            raise BadCellError(f"{words} is needed")
        return value

    return read


def _flag(text: str) -> bool:
    values = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if text.lower() not in values:
        raise BadCellError("true or false is needed")
    return values[text.lower()]


def _cores(text: str) -> tuple[int, ...]:
    cores = text.split()
    if not all(core.isascii() and core.isdigit() for core in cores):
        raise BadCellError("numbers of cores with spaces between them are needed")
    return tuple(sorted({int(core) for core in cores}))


def _moment(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadCellError("a date like 2026-01-31 or 2026-01-31T12:30 is needed") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


_POSITIVE = _number("a number above 0", lambda value: value > 0)
_AT_LEAST_0 = _number("a number of at least 0", lambda value: value >= 0)
_NAME = Column(_any_text, is_required=True)

COLUMNS: dict[str, Column] = {
    "device": _NAME,
    "device_words": Column(_any_text),
    "runtime": _NAME,
    "runtime_version": Column(_any_text, ""),
    "threads": Column(_whole(1), 1),
    "batch_size": Column(_whole(1), 1),
    "precision": Column(_any_text, "fp32"),
    "timm_version": Column(_any_text, ""),
    "affinity": Column(_cores),
    "task": Column(_one_of(TASKS), "classification"),
    "backbone": Column(_backbone, is_required=True),
    "head": _NAME,
    "input_size": Column(_whole(1), is_required=True),
    "classes": Column(_whole(1), is_required=True),
    "channels": Column(_whole(1), is_required=True),
    "fused": Column(_flag),  # empty: as a study would have it
    "neck": Column(_one_of(NECKS), "none"),
    "width": Column(_whole(0), 0),
    "depth": Column(_whole(0), 0),
    "finest": Column(_whole(0), 0),
    "detections": Column(_whole(1), DETECTIONS),
    "latency_ms": Column(_POSITIVE, is_required=True),
    "p95_ms": Column(_POSITIVE, math.nan),
    "spread": Column(_AT_LEAST_0, math.nan),
    "repeats": Column(_whole(0), 0),
    "warmup": Column(_whole(0), 0),
    "is_stable": Column(_flag, True),
    "interval": Column(_AT_LEAST_0),
    "drift": Column(_number("a number", lambda value: True)),
    "parity": Column(_AT_LEAST_0),
    "cores": Column(_cores),
    "params_m": Column(_POSITIVE, math.nan),
    "macs_g": Column(_POSITIVE, math.nan),
    "size_mb": Column(_POSITIVE, math.nan),
    "memory_mb": Column(_POSITIVE),
    "throughput_ips": Column(_POSITIVE),
    "throughput_batch": Column(_whole(1)),
    "energy_mj": Column(_POSITIVE),
    "seconds": Column(_AT_LEAST_0, 0.0),
    "exporter": Column(_any_text, ""),
    "measured_at": Column(_moment),
}
REQUIRED = tuple(name for name, column in COLUMNS.items() if column.is_required)
