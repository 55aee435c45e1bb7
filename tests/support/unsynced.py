"""Files and databases of tests that are not waited for until the disk has them.

No test ends the power. Whoever reads a file, in another process or after a kill, reads what the
system has been given. Each wait takes milliseconds, a small study has dozens, and MLflow's
database more.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine


@contextmanager
def without_syncs() -> Iterator[None]:
    """Let nothing in this process wait for the disk within the block."""
    event.listen(Engine, "connect", _let_go)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "fsync", lambda descriptor: None)
            yield
    finally:
        event.remove(Engine, "connect", _let_go)


def _let_go(connection: object, record: object) -> None:
    # A file that is no database, or one that another connection keeps, is for the test to meet.
    if isinstance(connection, sqlite3.Connection):
        with suppress(sqlite3.Error):
            connection.execute("PRAGMA synchronous = OFF")
