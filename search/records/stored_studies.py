"""What PostgreSQL has of studies at one moment: how far each is, and whether a driver runs it.

It says whether the records of a study have changed, without reading them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from archfront.search.records.driver_session import held_locks
from archfront.search.records.journal_table import NAMES, stored_studies
from archfront.search.records.paths import studies
from archfront.search.records.postgres import connected, is_postgres
from archfront.search.records.postgres_tables import RECORDS, is_made, lock_key

if TYPE_CHECKING:
    from sqlalchemy import Connection

_END = """
SELECT number, writer FROM archfront.journal WHERE study = {study}
ORDER BY number DESC LIMIT 1
"""
_ENDS = f"""
{NAMES}
SELECT names.study, number, writer FROM names
CROSS JOIN LATERAL ({_END.format(study="names.study")}) AS ends
"""


class StoredStudy(NamedTuple):
    """A study in PostgreSQL, without its records.

    Attributes:
        n_entries: Entries of its journal.
        writer: The driver that wrote the last one.
        is_driven: Whether a driver runs it, on any host.
    """

    n_entries: int
    writer: str
    is_driven: bool


def stored_now(url: str, study: str | None = None) -> dict[str, StoredStudy]:
    """Return the studies in a database by name, or one of them, if it is there.

    Args:
        url: The database.
        study: Name of the only study that is asked for; None for all.

    Raises:
        DatabaseError: If the database cannot be used.
    """
    with connected(url, is_kept=True) as connection:
        if not is_made(connection, RECORDS, url):
            return {}
        ends, held = _ends(connection, study), held_locks(connection)
    return {
        name: StoredStudy(number + 1, writer, lock_key(f"study {name}") in held)
        for name, number, writer in ends
    }


def _ends(connection: Connection, study: str | None) -> list[tuple[str, int, str]]:
    """Return the number and the writer of the last entry of each study."""
    if study is None:
        return [(row[0], row[1], row[2]) for row in connection.exec_driver_sql(_ENDS)]
    found = connection.exec_driver_sql(_END.format(study="%s"), (study,))
    return [(study, row[0], row[1]) for row in found]


def all_studies(root: Path, url: str | None) -> list[str]:
    """Return the names of the studies below a root, and of those in PostgreSQL.

    Raises:
        DatabaseError: If PostgreSQL cannot be used.
    """
    stored = stored_studies(url) if url is not None and is_postgres(url) else []
    return sorted({*studies(root), *stored})
