"""MLflow's client, opened so that it sends nothing and logs errors only."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from archfront.search.errors import StudyError
from archfront.search.records.candidate import short_hash
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
# Characters of a key that MLflow takes, and those that it takes besides letters and digits.
KEY, SIGNS = 250, "_-./: "
# Characters of the hash that tells two names apart which would have the same key.
HASH = 6

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
    """Write metrics and parameters of a run, in one request unless there are very many.

    Their names become keys that MLflow takes.
    """
    from mlflow.entities import Metric, Param

    keys = keys_of([row[0] for row in metrics])
    values = [Metric(keys[name], *rest) for name, *rest in metrics]
    keys = keys_of(params or ())
    texts = [Param(keys[name], text) for name, text in (params or {}).items()]
    while values or texts:
        client.log_batch(run_id, metrics=values[:METRICS], params=texts[:PARAMS])
        values, texts = values[METRICS:], texts[PARAMS:]


def keys_of(names: Iterable[str]) -> dict[str, str]:
    """Return the key of each name that MLflow takes: of a class may be what no key may hold.

    Names that would have the same key get a hash at its end.
    """
    keys = {name: _key(name) for name in names}
    counts = Counter(keys.values())
    return {
        name: key if counts[key] == 1 else f"{key[: KEY - HASH - 1]}-{short_hash(name)[:HASH]}"
        for name, key in keys.items()
    }


def _key(name: str) -> str:
    """Return a name without what MLflow refuses, also as a path that means another one."""
    text = "".join(c if c.isalnum() or c in SIGNS else "_" for c in name)
    parts = ["_" if part in ("", ".", "..") else part for part in text.split("/")]
    return "/".join(parts)[:KEY]


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
