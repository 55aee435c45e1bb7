"""The rows of studies: what people want of each, and what became of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from sqlalchemy import delete, insert, literal, select, update
from sqlalchemy.exc import IntegrityError

from archfront.search.errors import RequestError
from archfront.search.service.bodies import NAME_FIELD
from archfront.search.service.service_database import ServiceDatabase
from archfront.search.service.tables import STUDIES

Wanted = Literal["run", "pause", "cancel"]
State = Literal[
    "waiting", "running", "paused", "cancelled", "finished", "stopped", "failed", "deleting"
]
# The states in which a server has something to do for a study.
OPEN: tuple[State, ...] = ("waiting", "running")


@dataclass(frozen=True)
class StudyRow:
    """A study as its row says; the fields are those of ``service_studies`` in ``tables.py``."""

    name: str
    wanted: Wanted
    state: State
    config: str
    created: float
    reason: str = ""
    revision: int = 0
    running_revision: int = 0
    created_by: str = ""
    command: str = ""
    owner: str | None = None
    lease_until: float = 0.0
    heartbeat: float = 0.0
    pid: int | None = None
    attempts: int = 0
    recorded: int = 0

    @property
    def content(self) -> dict[str, Any]:
        """Return the composed configuration, without where the server keeps records."""
        content: dict[str, Any] = json.loads(self.config)
        return content

    @property
    def shown_state(self) -> str:
        """Return the state for people, with what the study is about to become."""
        coming = {"pause": "pausing", "cancel": "cancelling"}.get(self.wanted)
        return coming if self.is_open and coming is not None else self.state

    @property
    def is_open(self) -> bool:
        """Return whether a server has something to do for the study."""
        return self.state in OPEN


_COLUMNS = [STUDIES.c[item.name] for item in fields(StudyRow)]
_SHORT = [column for column in _COLUMNS if column.name != "config"]


class StudyRows:
    """The rows of studies.

    Args:
        database: Where they are.
    """

    def __init__(self, database: ServiceDatabase) -> None:
        self._database = database

    def add(
        self,
        name: str,
        content: dict[str, Any],
        *,
        wanted: Wanted = "run",
        command: str = "",
        created_by: str = "",
    ) -> None:
        """Add a study, which waits to run, or is paused where that is wanted.

        Args:
            name: Its name.
            content: Its composed configuration.
            wanted: What people want of it.
            command: The equal command line.
            created_by: Name of the token of whoever asks.

        Raises:
            RequestError: If there is one of this name.
        """
        state: State = "waiting" if wanted == "run" else "paused"
        now = self._database.now()
        row = StudyRow(name, wanted, state, json.dumps(content), now)
        self.put(replace(row, command=command, created_by=created_by))

    def put(self, row: StudyRow) -> None:
        """Add a row.

        Raises:
            RequestError: If there is one of this name.
        """
        try:
            with self._database.begin() as connection:
                connection.execute(insert(STUDIES).values(asdict(row)))
        except IntegrityError:
            raise taken(row.name) from None

    def get(self, name: str) -> StudyRow | None:
        """Return the row of a study; None where there is none."""
        with self._database.reading() as connection:
            found = connection.execute(select(*_COLUMNS).where(STUDIES.c.name == name)).first()
        return None if found is None else StudyRow(**found._mapping)

    def listed(
        self, states: Sequence[State] | None = None, *, whole: bool = True
    ) -> list[StudyRow]:
        """Return the rows in some states, or all, the oldest first.

        Args:
            states: The states; None for all.
            whole: Whether with the configurations, which are long.
        """
        columns = _COLUMNS if whole else [literal("").label("config"), *_SHORT]
        query = select(*columns).order_by(STUDIES.c.created, STUDIES.c.name)
        if states is not None:
            query = query.where(STUDIES.c.state.in_(states))
        with self._database.reading() as connection:
            return [StudyRow(**row._mapping) for row in connection.execute(query)]

    def change(self, before: StudyRow, **values: Any) -> bool:
        """Change a row unless somebody has changed what it is wanted for since it was read.

        Returns:
            Whether it was changed.
        """
        same = [
            STUDIES.c.name == before.name,
            STUDIES.c.wanted == before.wanted,
            STUDIES.c.state == before.state,
            STUDIES.c.revision == before.revision,
        ]
        with self._database.begin() as connection:
            return connection.execute(update(STUDIES).where(*same).values(values)).rowcount == 1

    def remove(self, name: str) -> None:
        """Remove the row of a study."""
        with self._database.begin() as connection:
            connection.execute(delete(STUDIES).where(STUDIES.c.name == name))


def taken(name: str) -> RequestError:
    """Return the error for a name that another study has."""
    return RequestError(
        409,
        "study_exists",
        f"There is a study {name!r} already. Give another name, or resume it.",
        NAME_FIELD,
    )
