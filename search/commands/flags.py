"""Flags of verbs: the actions that take them, and problems of their values."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archfront.search.errors import ConfigError
from archfront.trainers.files import plain_path

SWITCH = {"action": "store_true"}
# The most of what is counted, as in the configuration where it has the same: a larger number is a
# slip, and memory or time would end before its work does.
MOST = {
    "threads": 1024,
    "batch": 4096,
    "calibration": 100_000,
    "epochs": 10_000,
    "seeds": 1000,
    "patience": 10_000,
    "classes": 100_000,
    "channels": 3,
    "port": 65_535,
    "max_studies": 256,
    "study_threads": 1024,
    "study_memory_mb": 100_000_000,
}
# Problems of options, by the name of the option in Python.
Problems = dict[str, str]


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


def flag_problems(problems: Problems) -> list[str]:
    """Return problems as sentences, each after the flag as it is typed."""
    return [f"--{name.replace('_', '-')}: {text}" for name, text in problems.items()]


def check_flags(problems: Problems) -> None:
    """Raise a ConfigError with every problem, each after the flag as it is typed."""
    if problems:
        raise ConfigError(*flag_problems(problems))


@contextmanager
def collecting(problems: list[str]) -> Iterator[None]:
    """Add the problems of a ConfigError to others, which are told together."""
    try:
        yield
    except ConfigError as error:
        problems += error.problems


def not_counts(counts: Mapping[str, int | None]) -> Problems:
    """Return a problem for each value that is given and not a number from 1 to its ``MOST``."""
    return {
        name: f"a whole number of at least 1 is needed; got {value}."
        if value < 1
        else f"a whole number from 1 to {MOST[name]:,} is needed; got {value}."
        for name, value in counts.items()
        if value is not None and not 1 <= value <= MOST[name]
    }


def page_problems(file: Path | None) -> list[str]:
    """Return why no page can be written to the file of ``--html``."""
    folder = None if file is None else plain_path(file).parent
    if folder is None or folder.is_dir():
        return []
    return [f"--html: there is no folder {folder}. Make it first."]


def misplaced(arguments: argparse.Namespace, verb: str, flags: Mapping[str, Flag]) -> list[str]:
    """Return a problem for each flag given that ``arguments.action`` does not take."""
    return [
        f"archfront {verb} {arguments.action} takes no {name}; it belongs to "
        f"{', '.join(flag.actions)}."
        for name, flag in flags.items()
        if given(arguments, name) not in (None, False) and arguments.action not in flag.actions
    ]


def add_composition(parser: argparse.ArgumentParser) -> None:
    """Add the words of a configuration, and where files of the user's own lie."""
    parser.add_argument("words", nargs="*", metavar="word", help="group=name or option=value")
    parser.add_argument(
        "--config-dir",
        action="append",
        default=[],
        type=Path,
        metavar="DIR",
        help="folder with your own yaml files, as DIR/data/flowers.yaml",
    )
