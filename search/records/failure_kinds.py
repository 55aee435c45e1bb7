"""The kinds of failures of a candidate, and which of them come again."""

from __future__ import annotations

from typing import Literal

FailureKind = Literal[
    "build",
    "weights",
    "export",
    "parity",
    "data",
    "out of memory",
    "diverged",
    "timeout",
    "crash",
    "killed",
    "machine",
]
# Failures of the network itself: they come again whenever it is tried.
LASTING: tuple[FailureKind, ...] = ("build", "export", "parity")
# Failures that say more of the machine than of the network: another run may not have them.
PASSING: tuple[FailureKind, ...] = ("weights", "out of memory", "killed", "machine")
