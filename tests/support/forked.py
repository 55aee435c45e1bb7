"""Functions called in processes of their own, forked from one that has imported what they need.

A process that starts anew imports torch, Lightning and MLflow for ten seconds before it does
anything. All tests of a worker fork from one server, which ends with the worker.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path

from archfront.search.jobs.perform import MEASURING_IMPORTS, TRAINING_IMPORTS

IMPORTED = (
    "archfront.search.commands.launch",
    "archfront.search.study.study",
    "archfront.search.tracking.tracker",
    "hydra.compose",
    "mlflow.store.tracking.sqlalchemy_store",
    "tests.support.mlflow_template",
    *TRAINING_IMPORTS,
    *MEASURING_IMPORTS,
)


def context() -> ForkServerContext:
    """Return the context whose processes are forked from the server."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(list(IMPORTED))
    return found


def started(function: Callable[..., None], *given: object) -> BaseProcess:
    """Return a process that calls a function of a module."""
    process = context().Process(target=function, args=given)
    process.start()
    return process


def command(
    words: list[str], environment: Mapping[str, str], *, databases: Path
) -> tuple[BaseProcess, Connection]:
    """Return a process that runs the command ``archfront``, and where to read what it prints.

    Args:
        words: Of the command.
        environment: Variables that are set in it.
        databases: Where the empty database of MLflow is kept.
    """
    reader, writer = multiprocessing.Pipe(duplex=False)
    process = started(_command, words, dict(environment), databases, writer)
    writer.close()
    return process, reader


def _command(
    words: list[str], environment: Mapping[str, str], databases: Path, writer: Connection
) -> None:
    from archfront.search.cli import main
    from tests.support.mlflow_template import copied_databases

    os.environ.update(environment)
    # The server has Ctrl-C ignored, and its children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.dup2(writer.fileno(), sys.stdout.fileno())
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    with copied_databases(databases):
        sys.exit(main(words))
