"""The metrics of a server, in the text form of Prometheus."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping

TYPE = "text/plain; version=0.0.4; charset=utf-8"


class RequestCounts:
    """The requests that a server has answered, by method and status."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, int]] = Counter()
        self._lock = threading.Lock()

    def add(self, method: str, status: int) -> None:
        """Count an answer."""
        # Methods are words of the client's own.
        known = method if method in ("GET", "HEAD", "POST", "DELETE", "OPTIONS") else "other"
        with self._lock:
            self._counts[known, status] += 1

    def samples(self) -> list[tuple[Mapping[str, str], float]]:
        """Return the counts with their labels."""
        with self._lock:
            found = sorted(self._counts.items())
        return [({"method": m, "status": str(s)}, float(count)) for (m, s), count in found]


def text_of(
    name: str, kind: str, meaning: str, samples: Iterable[tuple[Mapping[str, str], float]]
) -> str:
    """Return one metric in the text form.

    Args:
        name: Of the metric.
        kind: ``counter`` or ``gauge``.
        meaning: In words, on one line.
        samples: Labels, whose values are plain words, and value of each sample.
    """
    lines = [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"]
    for labels, value in samples:
        inner = ",".join(f'{label}="{text}"' for label, text in labels.items())
        lines.append(f"{name}{{{inner}}} {value:g}" if inner else f"{name} {value:g}")
    return "\n".join(lines) + "\n"
