"""Racers of the benchmarks, forked from the worker of the tests in place of new interpreters."""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import race

from archfront.search.cli import main
from tests.support import forked
from tests.support.mlflow_template import copied_databases


@contextmanager
def racers(databases: Path) -> Iterator[None]:
    """Fork racers within the block, and the workers of their engines.

    Args:
        databases: Where the empty database of MLflow is kept.
    """

    def started(racer: race.Racer, core: int) -> forked.Forked:
        racer.log.parent.mkdir(parents=True, exist_ok=True)
        words = racer.command[1:]  # without the interpreter
        return forked.Forked(forked.started(_race, words, racer.log, core, databases))

    with pytest.MonkeyPatch.context() as patch, forked.workers():
        patch.setattr(race, "_started", started)
        yield


def _race(words: tuple[str, ...], log: Path, core: int, databases: Path) -> None:
    os.setsid()
    errors = log.with_name(log.name + ".err")
    for file, number in ((log, 1), (errors, 2)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600), number)
    os.sched_setaffinity(0, {core})
    os.environ.update(dict.fromkeys(race.THREADS, "1"))
    sys.argv = list(words)
    if words[0] != "-m":
        runpy.run_path(words[0], run_name="__main__")
        return
    forked.start_server()  # of its own, for its workers
    with forked.workers(), copied_databases(databases):
        sys.exit(main(sys.argv[2:]))
