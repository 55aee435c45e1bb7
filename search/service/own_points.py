"""The points of a team's own models beside the front of a study, kept until they are removed.

They belong to the study itself, not to its name: another study of the same name has none of them.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Float, String, Table, delete, func, insert, select
from sqlalchemy.exc import IntegrityError

from archfront.search.errors import RequestError
from archfront.search.service.service_database import ServiceDatabase
from archfront.search.service.tables import METADATA
from archfront.trainers.words import quoted

# Points of a study at most.
MOST = 50

POINTS = Table(
    "service_points",
    METADATA,
    # The id of the study in its records.
    Column("study_id", String(80), primary_key=True),
    Column("name", String(80), primary_key=True),
    Column("metric", Float, nullable=False),
    # In the unit of the study's second objective.
    Column("cost", Float, nullable=False),
    Column("created", Float, nullable=False),
    Column("created_by", String(120), nullable=False, default=""),
)
_SHOWN = [column for column in POINTS.c if column.name != "study_id"]


class OwnPoints:
    """The points of all studies.

    Args:
        database: The service's own tables.
    """

    def __init__(self, database: ServiceDatabase) -> None:
        self._database = database

    def listed(self, study_id: str) -> list[dict[str, Any]]:
        """Return the points of a study, the cheapest first."""
        query = select(*_SHOWN).where(POINTS.c.study_id == study_id)
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(POINTS.c.cost, POINTS.c.name)).mappings()
            return [dict(row) for row in rows]

    def add(
        self, study_id: str, name: str, *, metric: float, cost: float, by: str = ""
    ) -> dict[str, Any]:
        """Add a point.

        Raises:
            RequestError: If there is one of this name, or there are too many.
        """
        row = {"name": name, "metric": metric, "cost": cost, "created": self._database.now()}
        count = select(func.count()).where(POINTS.c.study_id == study_id)
        try:
            with self._database.begin() as connection:
                if connection.execute(count).scalar_one() >= MOST:
                    raise RequestError(
                        409, "too_many", f"A study has up to {MOST} points. Remove some first."
                    )
                connection.execute(insert(POINTS).values(**row, study_id=study_id, created_by=by))
        except IntegrityError:
            raise RequestError(
                409,
                "point_exists",
                f"There is a point {quoted(name)} already. Remove it, or give another name.",
                "name",
            ) from None
        return {**row, "created_by": by}

    def remove(self, study_id: str, name: str) -> None:
        """Remove a point.

        Raises:
            RequestError: If there is none of this name.
        """
        same = (POINTS.c.study_id == study_id, POINTS.c.name == name)
        with self._database.begin() as connection:
            if connection.execute(delete(POINTS).where(*same)).rowcount == 0:
                raise RequestError(404, "no_such_point", f"There is no point {quoted(name)}.")
