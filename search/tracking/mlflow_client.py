"""MLflow's client, opened so that it sends nothing and logs errors only."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from archfront.search.errors import StudyError
from archfront.search.records.postgres import is_postgres, with_driver
from archfront.search.records.postgres_tables import one_at_a_time

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

# What MLflow reads when it is imported.
VARIABLES = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
}
# What MLflow takes in one request.
PAGE, METRICS, PARAMS = 1000, 900, 100

# Name, value, milliseconds since the epoch, step.
MetricRow = tuple[str, float, int, int]


def not_importable(error: ImportError) -> StudyError:
    """Return the error for an MLflow that cannot be imported, which says nothing of a database."""
    return StudyError(
        f"MLflow cannot be imported: {error}. MLflow or a library that it needs is not installed "
        "whole: pip install --force-reinstall mlflow. The records of the studies do not depend on "
        "it, and 'archfront report STUDY' writes the runs of a study into MLflow afterwards."
    )


def open_client(uri: str) -> MlflowClient:
    """Return the client of an MLflow store; importing MLflow takes seconds.

    Raises:
        Exception: What SQLAlchemy, alembic, requests and MLflow raise for a store that cannot be
            opened.
    """
    set_environment()
    from mlflow import MlflowClient  # the environment must be set before

    with making_tables(uri):
        return MlflowClient(with_driver(uri))


def making_tables(uri: str) -> AbstractContextManager[None]:
    """Return a block in which MLflow makes its tables in PostgreSQL, where they are not there.

    It does so in several transactions, which those of another driver would break.

    Raises:
        DatabaseError: If the database cannot be used.
    """
    return one_at_a_time(uri, "MLflow's tables") if is_postgres(uri) else nullcontext()


def set_environment() -> None:
    """Let MLflow send nothing and log errors only; called before MLflow is imported."""
    for name, value in VARIABLES.items():
        os.environ.setdefault(name, value)
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # It tells of each connection that is broken, as by a restart of the database.
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)


def log_rows(
    client: MlflowClient,
    run_id: str,
    *,
    metrics: Sequence[MetricRow] = (),
    params: Mapping[str, str] | None = None,
) -> None:
    """Write metrics and parameters of a run, in one request unless there are very many."""
    from mlflow.entities import Metric, Param

    values = [Metric(*row) for row in metrics]
    texts = [Param(name, text) for name, text in (params or {}).items()]
    while values or texts:
        client.log_batch(run_id, metrics=values[:METRICS], params=texts[:PARAMS])
        values, texts = values[METRICS:], texts[PARAMS:]


def log_tags(client: MlflowClient, run_id: str, tags: Mapping[str, str]) -> None:
    """Write tags of a run in one request."""
    from mlflow.entities import RunTag

    client.log_batch(run_id, tags=[RunTag(name, value) for name, value in tags.items()])


def experiment_id(client: MlflowClient, name: str, location: str | None) -> str:
    """Return the id of an experiment, which is made where there is none.

    Args:
        client: MLflow.
        name: Name of the experiment.
        location: URI of its artifacts, if it is made; None for where MLflow has them.
    """
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    try:
        return str(client.create_experiment(name, artifact_location=location))
    except MlflowException:  # another driver made it a moment ago
        found = client.get_experiment_by_name(name)
        if found is None:
            raise
        return str(found.experiment_id)


def search_runs(client: MlflowClient, experiment: str, query: str) -> list[Run]:
    """Return every run of an experiment that a query finds."""
    runs: list[Run] = []
    token: str | None = None
    while True:
        page = client.search_runs([experiment], query, max_results=PAGE, page_token=token)
        runs += page
        token = page.token
        if not token:
            return runs
