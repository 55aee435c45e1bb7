"""The rows of tasks: commands that take minutes to hours, such as refits and exports."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from sqlalchemy import (
    Column,
    Float,
    Integer,
    String,
    Table,
    Text,
    and_,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from archfront.search.errors import RequestError
from archfront.search.service.leases import is_gone
from archfront.search.service.service_database import ServiceDatabase
from archfront.search.service.tables import METADATA

Kind = Literal["refit", "variants", "export", "profile"]
TaskState = Literal["waiting", "running", "finished", "failed", "cancelled"]
OPEN: tuple[TaskState, ...] = ("waiting", "running")
# Kinds that are about a dataset; the others are about a study.
OF_DATASETS: tuple[Kind, ...] = ("profile",)
# What a row says of its process before one has been started.
NO_PROCESS: dict[str, None] = {"pid": None, "process_started": None}
# Tasks that may wait or run at a time.
MOST_OPEN = 100
# Seconds after which a server that does not renew its tasks has lost them.
LEASE_S = 60.0
# Tasks that have ended and are kept, and the seconds after which the others go.
N_KEPT, KEPT_S = 1000, 30 * 24 * 3600.0

TASKS = Table(
    "service_tasks",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("kind", String(16), nullable=False),
    # Name of the study or the dataset that it is about.
    Column("subject", String(80), nullable=False),
    # The words after archfront, as JSON.
    Column("words", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("message", Text, nullable=False, default=""),
    Column("created", Float, nullable=False),
    Column("created_by", String(120), nullable=False, default=""),
    Column("started", Float),
    Column("ended", Float),
    # The server that runs it, until its lease ends, and the process with its start.
    Column("owner", String(200)),
    Column("lease_until", Float, nullable=False, default=0.0),
    Column("pid", Integer),
    Column("process_started", Float),
    Column("attempts", Integer, nullable=False, default=0),
)


@dataclass(frozen=True)
class TaskRow:
    """A task as its row says; the fields are the columns of ``service_tasks``."""

    id: str
    kind: Kind
    subject: str
    words: str
    state: TaskState
    message: str
    created: float
    created_by: str
    started: float | None
    ended: float | None
    owner: str | None
    lease_until: float
    pid: int | None
    process_started: float | None
    attempts: int

    @property
    def about(self) -> str:
        """Return what it is about: a study and a dataset may have one name."""
        return f"{'dataset' if self.kind in OF_DATASETS else 'study'} {self.subject}"

    @property
    def is_open(self) -> bool:
        """Return whether it waits or runs."""
        return self.state in OPEN

    @property
    def command(self) -> list[str]:
        """Return the words after ``archfront``."""
        words: list[str] = json.loads(self.words)
        return words


_COLUMNS = [TASKS.c[item.name] for item in fields(TaskRow)]


class TaskRows:
    """The rows of tasks.

    Args:
        database: Where they are.
    """

    def __init__(self, database: ServiceDatabase) -> None:
        self._database = database

    def add(
        self, kind: Kind, subject: str, words: Sequence[str], *, by: str = "", id: str = ""
    ) -> TaskRow:
        """Add a task that waits for its turn.

        Args:
            kind: What it does.
            subject: Name of the study or the dataset that it is about.
            words: Those after ``archfront``.
            by: Name of the token of whoever asks.
            id: Its id, from ``new_id``, where the words have it too.

        Raises:
            RequestError: If the same is waiting or running, or too many are.
        """
        row: dict[str, Any] = {
            "id": id or new_id(),
            "kind": kind,
            "subject": subject,
            "words": json.dumps(list(words)),
            "state": "waiting",
            "created": self._database.now(),
            "created_by": by,
        }
        with self._database.begin(alone=_lock(subject)) as connection:
            is_open = TASKS.c.state.in_(OPEN)
            opened = connection.execute(select(TASKS.c.kind, TASKS.c.subject).where(is_open)).all()
            if kind != "export" and (kind, subject) in [tuple(found) for found in opened]:
                raise RequestError(
                    409, "task_exists", f"A {kind} of {subject!r} waits or runs already."
                )
            if len(opened) >= MOST_OPEN:
                raise RequestError(503, "busy", f"{MOST_OPEN} tasks wait or run. Ask again later.")
            connection.execute(insert(TASKS).values(row))
        return self.get(row["id"])

    def __contains__(self, id: str) -> bool:
        """Return whether there is a task with this id."""
        with self._database.reading() as connection:
            return (
                connection.execute(select(TASKS.c.id).where(TASKS.c.id == id)).first() is not None
            )

    def get(self, id: str) -> TaskRow:
        """Return a task.

        Raises:
            RequestError: If there is none with this id.
        """
        with self._database.reading() as connection:
            found = connection.execute(select(*_COLUMNS).where(TASKS.c.id == id)).first()
        if found is None:
            raise RequestError(404, "no_such_task", f"There is no task with the id {id!r}.")
        return TaskRow(**found._mapping)

    def listed(
        self,
        *,
        subject: str | None = None,
        kind: Kind | None = None,
        states: Sequence[TaskState] | None = None,
        limit: int = 1000,
    ) -> list[TaskRow]:
        """Return the tasks that fit, the latest first."""
        query = select(*_COLUMNS).order_by(TASKS.c.created.desc(), TASKS.c.id).limit(limit)
        if subject is not None:
            query = query.where(TASKS.c.subject == subject)
        if kind is not None:
            query = query.where(TASKS.c.kind == kind)
        if states is not None:
            query = query.where(TASKS.c.state.in_(states))
        with self._database.reading() as connection:
            return [TaskRow(**row._mapping) for row in connection.execute(query)]

    def check_none(self, study: str) -> None:
        """Raise an error while a task of a study waits or runs.

        Raises:
            RequestError: With the task.
        """
        found = self.listed(subject=study, states=OPEN)
        opened = [row for row in found if row.kind not in OF_DATASETS]
        if opened:
            article = "An" if opened[0].kind == "export" else "A"
            raise RequestError(
                409,
                "task_is_open",
                f"{article} {opened[0].kind} of {study!r} is open: cancel "
                f"it by DELETE /api/v1/tasks/{opened[0].id}, or wait for its end.",
            )

    def claim(self, row: TaskRow, owner: str, now: float) -> bool:
        """Take a task that waits, unless one of its subject runs; return whether it is taken."""
        mine = and_(TASKS.c.id == row.id, TASKS.c.state == "waiting")
        values = {
            "state": "running",
            "owner": owner,
            "lease_until": now + LEASE_S,
            "started": now,
            "attempts": row.attempts + 1,
            "message": "",
        }
        of_dataset = TASKS.c.kind.in_(OF_DATASETS)
        is_alike = of_dataset if row.kind in OF_DATASETS else ~of_dataset
        busy = and_(TASKS.c.subject == row.subject, TASKS.c.state == "running", is_alike)
        with self._database.begin(alone=_lock(row.subject)) as connection:
            if connection.execute(select(TASKS.c.id).where(busy)).first() is not None:
                return False
            return connection.execute(update(TASKS).where(mine).values(values)).rowcount == 1

    def change(self, id: str, owner: str, **values: Any) -> bool:
        """Change a task that a server runs; return whether it is still that server's."""
        mine = and_(TASKS.c.id == id, TASKS.c.owner == owner, TASKS.c.state == "running")
        with self._database.begin() as connection:
            return connection.execute(update(TASKS).where(mine).values(values)).rowcount == 1

    def cancel(self, id: str, now: float) -> None:
        """Cancel a task that waits or runs; the server that runs it ends its process."""
        mine = and_(TASKS.c.id == id, TASKS.c.state.in_(OPEN))
        values = {"state": "cancelled", "ended": now, "message": "It was cancelled."}
        with self._database.begin() as connection:
            connection.execute(update(TASKS).where(mine).values(values))

    def lost(self, now: float) -> list[TaskRow]:
        """Return the tasks that run on servers which are gone."""
        running = self.listed(states=["running"])
        return [
            row
            for row in running
            if row.lease_until < now or (row.owner is not None and is_gone(row.owner))
        ]

    def past(self, now: float) -> list[TaskRow]:
        """Return the tasks that may go: ended long ago, or with so many others ended since.

        The latest finished profile of a dataset is not among them, since it is what the dataset
        shows.
        """
        query = select(*_COLUMNS).where(TASKS.c.state.not_in(OPEN))
        latest = func.coalesce(TASKS.c.ended, TASKS.c.created).desc()
        with self._database.reading() as connection:
            found = connection.execute(query.order_by(latest, TASKS.c.id))
            rows = [TaskRow(**row._mapping) for row in found]
        shown: dict[str, str] = {}
        for row in rows:
            if row.kind == "profile" and row.state == "finished":
                shown.setdefault(row.subject, row.id)
        return [
            row
            for place, row in enumerate(rows)
            if (place >= N_KEPT or (row.ended or row.created) < now - KEPT_S)
            and shown.get(row.subject) != row.id
        ]

    def remove(self, id: str) -> None:
        """Remove a task that has ended."""
        with self._database.begin() as connection:
            connection.execute(delete(TASKS).where(TASKS.c.id == id, TASKS.c.state.not_in(OPEN)))

    def take_back(self, row: TaskRow, state: TaskState, message: str = "") -> bool:
        """Change a task whose server is gone, unless another one has done so."""
        same = and_(
            TASKS.c.id == row.id,
            TASKS.c.state == "running",
            or_(TASKS.c.owner == row.owner, TASKS.c.owner.is_(None)),
        )
        values = {"state": state, "owner": None, "message": message, **NO_PROCESS}
        with self._database.begin() as connection:
            return connection.execute(update(TASKS).where(same).values(values)).rowcount == 1


def _lock(subject: str) -> str:
    """Return the word of transactions that look at the tasks of a subject and change them."""
    return f"tasks of {subject}"


def new_id() -> str:
    """Return the id of a task that is to be added."""
    return secrets.token_hex(8)
