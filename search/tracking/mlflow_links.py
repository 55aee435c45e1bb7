"""Where MLflow's page shows the run of a study: found by its tag, without importing MLflow."""

from __future__ import annotations

from pathlib import Path

from archfront.search.errors import StudyError
from archfront.search.records.postgres import is_postgres, with_driver
from archfront.search.tracking.mlflow_database import STUDY_TAG

# The run of a study is the one that has no parent.
_RUN = f"""
SELECT runs.experiment_id, runs.run_uuid FROM runs
JOIN tags AS study ON study.run_uuid = runs.run_uuid AND study.key = '{STUDY_TAG}'
LEFT JOIN tags AS parent ON parent.run_uuid = runs.run_uuid AND parent.key = 'mlflow.parentRunId'
WHERE study.value = :study AND parent.value IS NULL AND runs.lifecycle_stage = 'active'
ORDER BY runs.start_time
"""


def run_page(page: str, store: str, study_id: str) -> str:
    """Return the address of a study's run on MLflow's page, or of the page where none is found.

    Args:
        page: Address of MLflow's page.
        store: URI of MLflow's store; only a database is asked.
        study_id: The id of the study in its records.

    Raises:
        StudyError: If the database does not answer.
    """
    base = page.rstrip("/") + "/"
    if not store.startswith("sqlite") and not is_postgres(store):
        return base
    from sqlalchemy import create_engine, make_url, text
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.pool import NullPool

    file = make_url(with_driver(store)).database or ""
    if store.startswith("sqlite") and not Path(file).is_file():  # it would be made
        return base
    engine = create_engine(with_driver(store), poolclass=NullPool)
    try:
        with engine.connect() as connection:
            found = connection.execute(text(_RUN), {"study": study_id}).first()
    except SQLAlchemyError as error:
        reason = (str(getattr(error, "orig", None) or error).splitlines() or [""])[0]
        raise StudyError(f"MLflow's database cannot be read: {reason}.") from error
    return base if found is None else f"{base}#/experiments/{found[0]}/runs/{found[1]}"
