"""MLflow's database, created once in a session and copied to every root that has none."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

from archfront.search.tracking.mlflow_client import open_client
from archfront.trainers.files import locked

TRACKER = "archfront.search.tracking.tracker"
REVISION = "_get_latest_schema_revision"


@contextmanager
def copied_databases(folder: Path) -> Iterator[None]:
    """Give every tracker whose root has no database a copy of an empty one.

    Only where a test that was collected has imported the tracker: otherwise MLflow would be
    imported for nothing. Which tables this MLflow wants is read from its scripts once, and not
    twice for every tracker.

    Args:
        folder: Where the empty database is kept, for all workers of a session.
    """
    if TRACKER not in sys.modules:
        yield
        return
    from mlflow.store.db import utils

    tracker = sys.modules[TRACKER].Tracker
    create = tracker.__init__

    def copy_and_open(self: object, places: object, uri: str | None, experiment: str) -> None:
        file = places.root / "mlflow.db"  # type: ignore[attr-defined]
        if uri is None and not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(template(folder), file)
        create(self, places, uri, experiment)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tracker, "__init__", copy_and_open)
        patch.setattr(utils, REVISION, cache(getattr(utils, REVISION)))
        yield


def template(folder: Path) -> Path:
    """Return an empty database, made if there is none yet."""
    file = folder / "mlflow.db"
    with locked(folder / "mlflow.lock"):
        if not file.exists():
            part = folder / "part.db"
            open_client(f"sqlite:///{part}").search_experiments()
            part.rename(file)
    return file
