"""A PostgreSQL of the tests' own: on a free port, in a temporary folder, with nothing synced."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from sqlalchemy import text

from archfront.search.records.postgres import engine

READ_CERTIFICATES = ssl.SSLContext.load_default_certs

USER, PASSWORD = "archfront", "s3cret-word"
# A user whose password is asked for, which takes time; it owns nothing.
GUARDED = "guarded"
ACCESS = f"""
host all {GUARDED} 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 trust
"""
# Nothing has to outlive the machine; a restart and a kill of the server lose nothing so.
QUICK = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "40",
    "shared_buffers": "16MB",
}
OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "log_min_messages": "fatal",
}


def programs() -> Path | None:
    """Return the folder of PostgreSQL's programs; None where it is not installed."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).parent
    return next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)


def read_certificates(
    context: ssl.SSLContext, purpose: ssl.Purpose = ssl.Purpose.SERVER_AUTH
) -> None:
    """Read the system's certificates, except for pg8000, which takes 20 ms and uses none of them.

    Stands for the method ``SSLContext.load_default_certs``.
    """
    if sys._getframe(2).f_globals["__name__"] != "pg8000.core":
        READ_CERTIFICATES(context, purpose)


def other_user() -> str | None:
    """Return an ordinary user, whom a server needs where this is root; else None."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


@dataclass
class Server:
    """A server, which may be stopped, killed and started again.

    Attributes:
        programs: Folder of PostgreSQL's programs.
        options: Its settings.
    """

    programs: Path
    options: Mapping[str, str] = field(default_factory=lambda: QUICK)

    def __post_init__(self) -> None:
        """Make a cluster and start it."""
        self._folder = Path(tempfile.mkdtemp(prefix="archfront-pg-"))
        self._user = other_user()
        self._numbers = count(1)
        if self._user is not None:
            shutil.chown(self._folder, self._user)
        self._call(
            "initdb", f"--username={USER}", "--auth=trust", "--no-sync", "--no-instructions",
            "--no-locale", "--encoding=UTF8",
        )  # fmt: skip
        (self._folder / "data" / "pg_hba.conf").write_text(ACCESS)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        options = {**OPTIONS, **self.options, "port": self.port}
        lines = [f"{name} = '{value}'" for name, value in options.items()]
        with (self._folder / "data" / "postgresql.conf").open("a") as file:
            file.write("\n".join(lines) + "\n")
        self.start()
        self.execute("postgres", f"CREATE ROLE {GUARDED} LOGIN PASSWORD '{PASSWORD}'")

    @property
    def pid(self) -> int:
        """Return the process of the server."""
        return int((self._folder / "data" / "postmaster.pid").read_text().split()[0])

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self._call("pg_ctl", "start", "--wait", f"--log={self._folder / 'log'}", "--silent")

    def stop(self) -> None:
        """End the server and all its connections, as a restart does."""
        self._call("pg_ctl", "stop", "--wait", "--mode=fast", "--silent")

    def kill(self) -> None:
        """End the server without notice."""
        os.kill(self.pid, signal.SIGQUIT)
        self._call("pg_ctl", "stop", "--wait", "--mode=immediate", "--silent", is_checked=False)

    def remove(self) -> None:
        """End the server and remove all of it."""
        self._call("pg_ctl", "stop", "--wait", "--mode=immediate", "--silent", is_checked=False)
        shutil.rmtree(self._folder, ignore_errors=True)

    def url(self, database: str, *, user: str = USER, password: str = PASSWORD) -> str:
        """Return the URL of a database."""
        return f"postgresql+pg8000://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """Make a database and return its URL."""
        name = f"test{next(self._numbers)}"
        self.execute("postgres", f"CREATE DATABASE {name}")
        return self.url(name)

    def execute(self, database: str, *statements: str) -> list[tuple[object, ...]]:
        """Do statements in a database and return the rows of the last one."""
        return execute(self.url(database), *statements)

    def _call(self, program: str, *words: str, is_checked: bool = True) -> None:
        subprocess.run(
            [self.programs / program, f"--pgdata={self._folder / 'data'}", *words],
            env={**os.environ, "PGCTLTIMEOUT": "600"},  # beside other work
            check=is_checked,
            user=self._user,
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            stderr=None if is_checked else subprocess.DEVNULL,
        )


def execute(url: str, *statements: str) -> list[tuple[object, ...]]:
    """Do statements and return the rows of the last one."""
    rows: list[tuple[object, ...]] = []
    with engine(url).connect() as connection:
        for statement in statements:
            found = connection.execute(text(statement))
            rows = [tuple(row) for row in found] if found.returns_rows else []
    return rows
