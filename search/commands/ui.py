"""``archfront ui``: MLflow's own server on the database of a root."""

from __future__ import annotations

import argparse
import os
import sys

from archfront.search.commands.consoles import echo
from archfront.search.commands.flags import check_flags, not_counts
from archfront.search.commands.study_text import add_root, root_or_default
from archfront.search.errors import StudyError
from archfront.search.tracking.mlflow_client import VARIABLES

# What MLflow's server and its processes read. Jobs are not archfront's, and start more processes.
SERVER_VARIABLES = {
    **VARIABLES,
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "PYTHONWARNINGS": "ignore",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``archfront ui`` takes."""
    add_root(parser)
    parser.add_argument("--mlflow-uri", help="MLflow's store, if it is not in the root")
    parser.add_argument("--host", default="127.0.0.1", help="address (default: %(default)s)")
    parser.add_argument("--port", type=int, default=5000, help="port (default: %(default)s)")


def call(arguments: argparse.Namespace) -> int:
    """Become MLflow's server; the process does not return."""
    check_flags(not_counts({"port": arguments.port}))
    root = root_or_default(arguments.root)
    if arguments.mlflow_uri is None and not (root / "mlflow.db").is_file():
        raise StudyError(
            f"There is no MLflow database in {root}. Run a study first, or give --root."
        )
    from archfront.search.tracking.mlflow_database import (
        ARTIFACTS,
        NAME,
        database_uri,
        ensure_database,
    )

    if arguments.mlflow_uri is None:
        ensure_database(root)
    uri = arguments.mlflow_uri or database_uri(root / NAME)
    echo(f"MLflow on {uri}: http://{arguments.host}:{arguments.port}  (Ctrl-C ends it)")
    sys.stdout.flush()
    options = {
        "--backend-store-uri": uri,
        "--registry-store-uri": uri,
        "--host": arguments.host,
        "--port": arguments.port,
        # Of what is logged through the page, else in the working folder.
        "--artifacts-destination": (root / ARTIFACTS).as_uri(),
        # Each further worker imports MLflow for seconds before the page is there.
        "--workers": 1,
        "--uvicorn-opts": "--log-level warning",
    }
    words = [str(word) for pair in options.items() for word in pair]
    os.execve(
        sys.executable,
        [sys.executable, "-W", "ignore", "-m", "mlflow", "ui", *words],
        {**os.environ, **SERVER_VARIABLES},
    )
