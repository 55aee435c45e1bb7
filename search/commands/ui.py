"""``archfront ui``: MLflow's own server on the database of a root."""

from __future__ import annotations

import argparse
import sys

from archfront.search.commands.consoles import echo
from archfront.search.commands.flags import check_flags, not_counts
from archfront.search.commands.study_text import add_root, root_or_default, url_or_default
from archfront.search.errors import StudyError
from archfront.search.records.postgres import is_postgres
from archfront.search.records.storage_urls import hide_password


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``archfront ui`` takes."""
    add_root(parser)
    parser.add_argument(
        "--mlflow-uri",
        help="MLflow's store, if it is neither in the root nor the PostgreSQL of "
        "ARCHFRONT_STORAGE_URL",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address (default: %(default)s)")
    parser.add_argument("--port", type=int, default=5000, help="port (default: %(default)s)")


def call(arguments: argparse.Namespace) -> int:
    """Serve MLflow's page until the process is interrupted."""
    check_flags(not_counts({"port": arguments.port}))
    root = root_or_default(arguments.root)
    team = url_or_default(None)
    # As the other verbs, it finds the database of a team in the environment.
    given = arguments.mlflow_uri or (team if is_postgres(team) else None)
    if given is None and not (root / "mlflow.db").is_file():
        raise StudyError(
            f"There is no MLflow database in {root}. Run a study first, or give --root."
        )
    from archfront.search.tracking.mlflow_database import (
        ARTIFACTS,
        NAME,
        database_uri,
        ensure_database,
    )
    from archfront.search.tracking.mlflow_server import listening, serve

    host, port = arguments.host, arguments.port
    at = listening(host, port)
    if given is None:
        ensure_database(root)
    uri = given or database_uri(root / NAME)
    shown = f"http://{f'[{host}]' if ':' in host else host}:{port}"

    def answers() -> None:
        echo(f"MLflow on {hide_password(uri)}: {shown}  (Ctrl-C ends it)")
        sys.stdout.flush()

    echo("MLflow starts, which takes some seconds.")
    sys.stdout.flush()
    # Of what is logged through the page, else in the working folder.
    serve(uri, (root / ARTIFACTS).as_uri(), at, answers)
    return 0
