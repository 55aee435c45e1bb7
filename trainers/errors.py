"""Errors that a person can fix: every message is complete without its traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


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


class BuildError(ArchfrontError):
    """A network that cannot be built as described."""


class DivergedError(ArchfrontError):
    """A training whose loss is no longer a finite number."""


def unknown(what: str, name: object, known: Iterable[str]) -> ConfigError:
    """Return the error for a name that is not in a table, with the nearest name if any."""
    names = sorted(known)
    near = difflib.get_close_matches(str(name), names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return ConfigError(f"Unknown {what} {name!r}.{hint} Known: {', '.join(names)}.")
