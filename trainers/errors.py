"""Errors that a person can fix: every message is complete without its traceback."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable

# How allocators that have no exception of their own say it: torch on the CPU (worded by
# platform), CUDA outside torch's allocator, cuBLAS.
_ALLOCATOR_PHRASES = (
    "memory: you tried to allocate",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
)
# Characters of an unknown name that a message has.
LONGEST = 200


class ArchfrontError(Exception):
    """Base of every error that archfront raises on purpose."""


class ConfigError(ArchfrontError):
    """A configuration that cannot be run, with every problem that was found.

    Attributes:
        problems: One complete sentence or two per problem, in the order found.
    """

    def __init__(self, *problems: str) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problems))

    def __reduce__(self) -> tuple[type[ConfigError], tuple[str, ...]]:
        """Pickle by the problems, since the message is made of them."""
        return type(self), self.problems


class DataError(ArchfrontError):
    """Images or labels that cannot be read or split as asked."""


class WeightsError(ArchfrontError):
    """Weights that were asked for and are not there or do not fit."""


class FetchError(WeightsError):
    """First weights that a study counted on cannot be downloaded."""


class DamagedError(ArchfrontError):
    """A kept file whose content is not what was written."""


class StateError(DamagedError):
    """The state of a training that the training cannot go on from."""


class BuildError(ArchfrontError):
    """A network that cannot be built as described."""


class DivergedError(ArchfrontError):
    """A training whose loss is no longer a finite number."""


def unknown(what: str, name: object, known: Iterable[str]) -> ConfigError:
    """Return the error for a name that is not in a table, with the nearest name if any."""
    names = sorted(known)
    near = difflib.get_close_matches(str(name), names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    shown = repr(name)
    if len(shown) > LONGEST:
        shown = f"{shown[: LONGEST // 2]}…{shown[-LONGEST // 2 :]}"
    return ConfigError(f"Unknown {what} {shown}.{hint} Known: {', '.join(names)}.")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an allocation failed; knows torch's errors without importing torch."""
    if isinstance(error, MemoryError):
        return True
    torch_error = getattr(sys.modules.get("torch"), "OutOfMemoryError", None)
    if torch_error is not None and isinstance(error, torch_error):
        return True
    return isinstance(error, RuntimeError) and any(p in str(error) for p in _ALLOCATOR_PHRASES)
