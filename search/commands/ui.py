"""``archfront ui``: MLflow's own server on the database of a root."""

from __future__ import annotations

import argparse
import os
import sys

from archfront.search.commands.study_text import add_root, root_or_default
from archfront.search.errors import StudyError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``archfront ui`` takes."""
    add_root(parser)
    parser.add_argument("--mlflow-uri", help="MLflow's store, if it is not in the root")
    parser.add_argument("--host", default="127.0.0.1", help="address (default: %(default)s)")
    parser.add_argument("--port", type=int, default=5000, help="port (default: %(default)s)")


def call(arguments: argparse.Namespace) -> int:
    """Become MLflow's server; the process does not return."""
    root = root_or_default(arguments.root)
    if arguments.mlflow_uri is None and not (root / "mlflow.db").is_file():
        raise StudyError(
            f"There is no MLflow database in {root}. Run a study first, or give --root."
        )
    from archfront.search.tracking.tracker import default_uri

    uri = arguments.mlflow_uri or default_uri(root)
    print(f"MLflow on {uri}: http://{arguments.host}:{arguments.port}  (Ctrl-C ends it)")
    sys.stdout.flush()
    options = ["--backend-store-uri", uri, "--host", arguments.host, "--port", arguments.port]
    command = [sys.executable, "-m", "mlflow", "ui", *map(str, options)]
    os.execv(sys.executable, command)
