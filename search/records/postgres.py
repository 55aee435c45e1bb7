"""A team's PostgreSQL: its URLs and connections, its errors in words, and waiting for a restart.

The driver is pg8000. A URL of another driver is one of the databases that Optuna itself serves.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from archfront.search.errors import DatabaseError, StudyStoppedError
from archfront.search.records.storage_urls import hide_password

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

logger = logging.getLogger(__name__)

# The oldest version that knows tcp_user_timeout.
OLDEST = 12
# An answer takes milliseconds; after this, the network has lost it.
ANSWER_S = 30
# A restart takes seconds, the promotion of a standby a minute.
WAIT_S = 120.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 2.0

Step = TypeVar("Step")
_URL = re.compile(r"^postgres(ql)?(\+pg8000)?://")
# A host that vanished holds its locks until the server notices: within half a minute.
_SETTINGS = {
    "search_path": "archfront, public",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "30000",
}
_BEGIN = (
    "SELECT "
    + ", ".join(f"set_config('{name}', '{value}', false)" for name, value in _SETTINGS.items())
    + ", current_setting('server_version_num')::int"
)
# What the server says, by its code: what is wrong, and what to do.
_ANSWERS = {
    "28P01": (
        "it does not take the password of {user!r}",
        "Check user and password in the URL; a special character in them is written as %XX.",
    ),
    "28000": ("it does not let {user!r} in", "Check the user in the URL, and pg_hba.conf."),
    "3D000": ("it has no database {database!r}", "Make it: createdb -O {user} {database}"),
    "42501": (
        "{user!r} lacks a right ({message})",
        "Let the owner of the database say: GRANT CREATE ON DATABASE {database} TO {user}; "
        "where the tables are there already: GRANT USAGE ON SCHEMA archfront TO {user}; GRANT "
        "SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA archfront TO {user}",
    ),
    "25006": ("it takes no changes, as a standby", "Give the URL of the primary server."),
    "53100": ("its disk is full ({message})", "Make room there."),
    "53300": ("it has no connection left", "Raise its max_connections, or end other programs."),
    "57P03": ("it starts or ends just now", "Try again in a moment."),
    "57P01": ("it was shut down", "Start it."),
}
# Of these, and where there is no answer, it is worthwhile to ask again.
_PASSING = ("57P", "53300", "25006", "08", "40001", "40P01")
# URLs at which a server has answered: it is waited for when it is away.
_known: set[str] = set()


def is_postgres(url: str | None) -> bool:
    """Return whether a URL is one of PostgreSQL by pg8000."""
    return url is not None and _URL.match(url) is not None


def with_driver(url: str) -> str:
    """Return a URL with the driver in it; one of another database as it is."""
    return _URL.sub("postgresql+pg8000://", url)


def connect(url: str, *, is_kept: bool = False) -> Connection:
    """Return a connection on which each statement is a transaction of its own.

    Args:
        url: The database.
        is_kept: Whether the connection is kept for the next caller when it is closed.

    Raises:
        DatabaseError: If there is none, in words.
    """
    try:
        connection = engine(with_driver(url), is_kept=is_kept).connect()
        row = connection.exec_driver_sql(_BEGIN).one()
    except Exception as error:  # SQLAlchemy, pg8000, the network and the URL raise their own
        raise database_error(url, error) from error
    if row[-1] // 10_000 < OLDEST:
        connection.close()
        raise too_old(url, row[-1])
    _known.add(url)
    return connection


@contextmanager
def connected(url: str, *, is_kept: bool = False) -> Iterator[Connection]:
    """Give a connection that is closed when the block ends, and turn its errors into words.

    Args:
        url: The database.
        is_kept: Whether the connection is kept for the next caller; a new one takes 40 ms, most
            of it for the password.

    Raises:
        DatabaseError: If the database cannot be reached, or refuses something.
    """
    with connect(url, is_kept=is_kept) as connection, told(url):
        yield connection


@contextmanager
def told(url: str) -> Iterator[None]:
    """Turn an error of a database within the block into one in words.

    Raises:
        DatabaseError: If the database refuses something, or does not answer.
    """
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        raise database_error(url, error) from error


@lru_cache(maxsize=8)
def engine(url: str, *, is_kept: bool = False) -> Engine:
    """Return what makes connections, and keeps one of them if it is asked to."""
    from sqlalchemy import NullPool, create_engine

    kept = {"pool_size": 1, "max_overflow": 15, "pool_pre_ping": True}
    made = create_engine(
        url,
        **(kept if is_kept else {"poolclass": NullPool}),
        pool_logging_name="archfront",
        isolation_level="AUTOCOMMIT",
        connect_args={"timeout": ANSWER_S, "application_name": "archfront"},
    )
    # It tells of each connection that is broken, with a traceback.
    logging.getLogger(
        f"{type(made.pool).__module__}.{type(made.pool).__name__}.archfront"
    ).setLevel(logging.CRITICAL)
    if is_kept:  # a connection cannot be shared with a child
        os.register_at_fork(after_in_child=lambda: made.dispose(close=False))
    return made


@contextmanager
def transaction(connection: Connection) -> Iterator[None]:
    """Let all statements within the block be done, or none."""
    connection.exec_driver_sql("BEGIN")
    try:
        yield
    except BaseException:
        with suppress(Exception):  # where the connection is gone, so is what was done
            connection.exec_driver_sql("ROLLBACK")
        raise
    connection.exec_driver_sql("COMMIT")


def patiently(url: str, step: Callable[[], Step], *, wait_s: float | None = None) -> Step:
    """Do a step again while the database is away, with longer and longer pauses.

    A database that has never answered is not waited for.

    Args:
        url: The database.
        step: Harmless when it is done twice, since the answer to the first may be lost.
        wait_s: Seconds to wait; ``WAIT_S`` when None.

    Raises:
        DatabaseError: If it has never answered.
        StudyStoppedError: If it stays away, or refuses the step.
    """
    longest = WAIT_S if wait_s is None else wait_s
    since, pause = None, FIRST_PAUSE_S
    while True:
        try:
            found = step()
            if since is not None:
                logger.warning("The database %s is back.", hide_password(url))
            return found
        except DatabaseError as error:
            if url not in _known:
                raise
            since = since or time.monotonic()
            waited = time.monotonic() - since
            if not error.is_away:
                raise StudyStoppedError(f"{error} Then the same command goes on.") from error
            if waited >= longest:
                raise StudyStoppedError(
                    f"{error} It was waited for, {waited:.0f} s. When it is back, the same "
                    "command goes on."
                ) from error
            if pause == FIRST_PAUSE_S:
                logger.warning("%s It is waited for, up to %.0f s.", error, longest)
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_S)


def too_old(url: str, version: int) -> DatabaseError:
    """Return the error for a server of an earlier version.

    Args:
        url: The database.
        version: The server's own number, as 110022 for 11.22.
    """
    return DatabaseError(
        f"The database {hide_password(url)} cannot be used: its server is PostgreSQL "
        f"{version // 10_000}. {OLDEST} or a later version is needed."
    )


def database_error(url: str, error: Exception) -> DatabaseError:
    """Return the error of a database in words, without its password."""
    origin = getattr(error, "orig", None) or error
    fields = origin.args[0] if origin.args and isinstance(origin.args[0], dict) else {}
    code = str(fields.get("C", ""))
    reason, remedy = _words(url, origin, code, str(fields.get("M", "")))
    shown = hide_password(url)
    found = DatabaseError(f"The database {shown} cannot be used: {reason}. {remedy}")
    is_of_connection = type(origin).__name__ == "InterfaceError" or isinstance(origin, OSError)
    found.is_away = code.startswith(_PASSING) or (is_of_connection and not code)
    return found


def _words(url: str, error: BaseException, code: str, message: str) -> tuple[str, str]:
    """Return what is wrong, and what to do, as a sentence."""
    from sqlalchemy.exc import ArgumentError

    if isinstance(error, ImportError):
        return "pg8000 is not installed", "Install it: pip install 'archfront[postgres]'"
    if isinstance(error, ArgumentError | ValueError):
        form = "postgresql+pg8000://USER:PASSWORD@HOST:5432/DATABASE"
        return "it is no URL", f"Write {form}; a special character is written as %XX."
    if isinstance(error, TypeError):  # an option after the question mark that pg8000 lacks
        return "its URL has an option that pg8000 does not know", f"Leave it out ({error})."
    named = _named(url)
    if code:
        known = code if code in _ANSWERS else "57P01" if code.startswith("57P") else ""
        reason, remedy = _ANSWERS.get(known, ("it says: {message} ({code})", "Mend that."))
        parts = {**named, "message": message, "code": code}
        return reason.format(**parts), remedy.format(**parts)
    # pg8000 looks at the password that is not there.
    if named["password"] is None and isinstance(error, AttributeError):
        return "it asks for a password, and the URL has none", "Write USER:PASSWORD@HOST."
    return _unreached(named, error)


def _unreached(named: dict[str, Any], error: BaseException) -> tuple[str, str]:
    """Return why a server was not reached, and what to do."""
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    place = named["socket"] or f"{named['host']}:{named['port']}"
    if isinstance(cause, socket.gaierror):
        return f"the host {named['host']!r} is not known", "Check the host in the URL."
    if isinstance(cause, TimeoutError):
        return f"{place} does not answer", "Check host, port and firewall."
    if isinstance(cause, OSError) or "connection" in str(error):
        return f"no server answers at {place}", "Start PostgreSQL, or check host and port."
    if str(error) == "network error":
        return f"the connection to {place} broke off", "Look at the server and its network."
    return str(error) or type(error).__name__, "Check the URL."


def _named(url: str) -> dict[str, Any]:
    """Return the parts of a URL that messages name."""
    from sqlalchemy.engine import make_url

    parts = make_url(with_driver(url))
    return {
        "user": parts.username or "",
        "password": parts.password or parts.query.get("password"),
        "host": parts.host or "localhost",
        "port": parts.port or 5432,
        "database": parts.database or parts.username or "",
        "socket": parts.query.get("unix_sock"),
    }
