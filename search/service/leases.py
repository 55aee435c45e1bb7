"""The leases by which servers on one database share the studies: one looks after each.

Claims are single UPDATEs that compare and set, so that of two servers one gets a study, in SQLite
and in PostgreSQL. A server that is gone loses its studies when its lease ends, or at once where
another server of the same machine sees that its process is gone. Two drivers of one study cannot
run even where a lease is wrong: ``driver_process.py`` has a lock of the kernel for that.
"""

from __future__ import annotations

import os
import secrets
import socket
from contextlib import suppress

import psutil
from sqlalchemy import or_, update

from archfront.search.service.service_database import ServiceDatabase
from archfront.search.service.study_rows import StudyRow
from archfront.search.service.tables import STUDIES

# Seconds of a lease; it is renewed when a third of them is over.
LEASE_S = 30.0


def new_owner() -> str:
    """Return the id of this server: its machine, its process and something of its own."""
    started = psutil.Process().create_time()
    return f"{socket.gethostname()}/{os.getpid()}/{started:.0f}/{secrets.token_hex(4)}"


def is_gone(owner: str) -> bool:
    """Return whether a server ran on this machine and is gone; False where that is not known."""
    host, pid, started, _ = owner.rsplit("/", 3)
    if host != socket.gethostname():
        return False
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(int(pid))
        is_same = abs(process.create_time() - float(started)) <= 1
        return not is_same or process.status() == psutil.STATUS_ZOMBIE
    return True


class Leases:
    """The leases of one server.

    Args:
        database: Where they are.
        owner: Id of the server.
    """

    def __init__(self, database: ServiceDatabase, owner: str) -> None:
        self._database, self.owner = database, owner

    def claim(self, row: StudyRow, now: float) -> bool:
        """Take or keep the lease of a study; return whether this server has it now."""
        if row.owner == self.owner and row.lease_until - now > LEASE_S * 2 / 3:
            return True
        is_free = or_(
            STUDIES.c.owner.is_(None),
            STUDIES.c.owner == self.owner,
            STUDIES.c.lease_until < now,
        )
        if row.owner is not None and is_gone(row.owner):
            is_free = or_(is_free, STUDIES.c.owner == row.owner)
        values = {"owner": self.owner, "lease_until": now + LEASE_S, "heartbeat": now}
        statement = update(STUDIES).where(STUDIES.c.name == row.name, is_free).values(values)
        with self._database.begin() as connection:
            return connection.execute(statement).rowcount == 1

    def release(self, name: str) -> None:
        """Give the lease of a study back, if this server has it."""
        mine = (STUDIES.c.name == name, STUDIES.c.owner == self.owner)
        with self._database.begin() as connection:
            connection.execute(update(STUDIES).where(*mine).values(owner=None, lease_until=0.0))
