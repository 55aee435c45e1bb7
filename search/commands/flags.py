"""Flags of a verb with actions: each belongs to some of them, and is an error with the others."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SWITCH = {"action": "store_true"}


@dataclass(frozen=True)
class Flag:
    """A flag and the actions that take it; ``options`` are those of ``add_argument``."""

    actions: tuple[str, ...]
    help: str
    options: Mapping[str, Any]


def add_flags(parser: argparse.ArgumentParser, flags: Mapping[str, Flag]) -> None:
    """Add flags by name, their help beginning with the actions that take them."""
    for name, flag in flags.items():
        parser.add_argument(name, help=f"{', '.join(flag.actions)}: {flag.help}", **flag.options)


def given(arguments: argparse.Namespace, name: str) -> Any:
    """Return the value of a flag by its name, with or without the dashes before it."""
    return getattr(arguments, name.removeprefix("--").replace("-", "_"))


def misplaced(arguments: argparse.Namespace, verb: str, flags: Mapping[str, Flag]) -> list[str]:
    """Return a problem for each flag given that ``arguments.action`` does not take."""
    return [
        f"archfront {verb} {arguments.action} takes no {name}; it belongs to "
        f"{', '.join(flag.actions)}."
        for name, flag in flags.items()
        if given(arguments, name) not in (None, False) and arguments.action not in flag.actions
    ]
