"""A team's PostgreSQL: its errors in words, the driver's lock, a journal that loses nothing."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest

from archfront.search.errors import (
    DatabaseError,
    StudyError,
    StudyLockedError,
    StudyStoppedError,
)
from archfront.search.records import driver_session, journal_table
from archfront.search.records.driver_session import DriverSession, is_locked
from archfront.search.records.journal_table import (
    JournalTable,
    read_journal,
    remove_study,
    stored_studies,
)
from archfront.search.records.postgres import connected, patiently, too_old, with_driver
from archfront.search.records.postgres_tables import RECORDS, lock_key, make_tables
from archfront.search.records.storage_urls import hide_password, revealed
from tests.support.postgres_server import GUARDED, PASSWORD, Server, execute
from tests.support.waiting import eventually

HOLDER = """
import sys
from archfront.search.records.driver_session import DriverSession
with DriverSession(sys.argv[1], "study"):
    print("held", flush=True)
    sys.stdin.read()
"""
CUT = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = "
Opened = Callable[[], tuple[DriverSession, JournalTable]]


def numbers(url: str, study: str = "study") -> list[int]:
    """Return what the entries of a journal say."""
    return [entry["n"] for entry in read_journal(url, study).read_logs(0)]


def cut(url: str) -> None:
    """End every other connection of a database."""
    execute(url, f"{CUT} current_database() AND pid != pg_backend_pid()")


@pytest.fixture
def opened(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opened]:
    """Return what opens a driver's session on a study, which nothing watches."""
    monkeypatch.setattr(driver_session, "LOOK_S", 3600.0)
    with ExitStack() as stack:

        def made() -> tuple[DriverSession, JournalTable]:
            session = stack.enter_context(DriverSession(database, "study"))
            return session, JournalTable(session)

        yield made


class TestWords:
    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"database": "none"}, "it has no database 'none'. Make it: createdb -O guarded none"),
            (
                {"password": "other"},
                "it does not take the password of 'guarded'. Check user and password in the URL; "
                "a special character in them is written as %XX.",
            ),
            (
                {"password": None},
                "it asks for a password, and the URL has none. Write USER:PASSWORD@HOST.",
            ),
            ({"host": "no.invalid"}, "the host 'no.invalid' is not known. Check the host in the "),
            ({"port": 1}, "no server answers at 127.0.0.1:1. Start PostgreSQL, or check host and"),
            ({"query": {"sslmode": "on"}}, "its URL has an option that pg8000 does not know. "),
        ],
    )
    def test_an_error_of_opening_is_in_words_without_the_password(
        self, postgres: Server, change: dict[str, Any], words: str
    ) -> None:
        from sqlalchemy.engine import make_url

        url = make_url(postgres.url("postgres", user=GUARDED)).set(
            **{name: value for name, value in change.items() if name != "password"}
        )
        if "password" in change:  # SQLAlchemy takes None for no change
            url = url._replace(password=change["password"])
        text = url.render_as_string(hide_password=False)
        with pytest.raises(DatabaseError, match="cannot be used: ") as caught:
            read_journal(text, "study")
        shown = f"The database {hide_password(text)} cannot be used: {words}"
        assert str(caught.value).startswith(shown)
        assert PASSWORD not in str(caught.value)

    def test_what_is_no_url_is_told(self) -> None:
        url = "postgresql://me:secret@host:port/db"
        with pytest.raises(DatabaseError, match=r"it is no URL\. Write postgresql\+pg8000://USER"):
            read_journal(url, "study")

    def test_a_user_without_rights_is_told_which(self, postgres: Server, database: str) -> None:
        name = database.rpartition("/")[2]
        with (
            pytest.raises(DatabaseError, match=f"GRANT CREATE ON DATABASE {name} TO guarded; "),
            DriverSession(postgres.url(name, user=GUARDED), "study"),
        ):
            pass

    def test_a_missing_extra_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pg8000", None)
        with pytest.raises(DatabaseError, match=r"pip install 'archfront\[postgres\]'"):
            read_journal("postgresql://me@missing-extra/db", "study")

    def test_an_old_server_and_later_tables_are_told(self, database: str, opened: Opened) -> None:
        assert "its server is PostgreSQL 11. 12 or a later" in str(too_old(database, 110_022))
        opened()
        execute(database, "UPDATE archfront.formats SET version = 2")
        with pytest.raises(DatabaseError, match="have the format 2, and this archfront knows 1"):
            read_journal(database, "study")

    def test_a_password_is_hidden_whatever_the_url_is(self) -> None:
        for url, hidden in {
            "postgresql://me:a@b/c@host/db": "postgresql://me:***@host/db",
            "postgresql+pg8000://me:a:b@host:x/db": "postgresql+pg8000://me:***@host:x/db",
            "postgresql://host/db?user=me&password=a&x=1": "postgresql://host/db?user=me&"
            "password=***&x=1",
            "https://me:a@host/path": "https://me:***@host/path",
            "postgresql://me@host/db": "postgresql://me@host/db",
            "sqlite:////a:b/team.db": "sqlite:////a:b/team.db",
        }.items():
            assert hide_password(url) == hidden
            assert revealed(hidden, None, "x", url) == url
        assert revealed("postgresql://me:***@other/db", "postgresql://me:a@host/db") is None

    def test_a_url_without_its_driver_is_of_pg8000(self) -> None:
        for name in ("postgres", "postgresql", "postgresql+pg8000"):
            assert with_driver(f"{name}://me@host/db") == "postgresql+pg8000://me@host/db"
        assert with_driver("postgresql+psycopg://host/db") == "postgresql+psycopg://host/db"


def test_two_that_make_the_tables_at_once_make_them_once(database: str) -> None:
    """The second one looked with what it knew before the first had made them, and failed."""
    waits = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    with ThreadPoolExecutor(1) as pool, connected(database) as first, connected(database) as other:
        first.exec_driver_sql(f"SELECT pg_advisory_lock({lock_key('tables')})")
        second = pool.submit(make_tables, other, RECORDS, database)
        eventually(lambda: execute(database, waits) != [])
        make_tables(first, RECORDS, database)
        first.exec_driver_sql("SELECT pg_advisory_unlock_all()")
        second.result()


class TestLock:
    def test_a_second_driver_is_told_who_runs(self, database: str, opened: Opened) -> None:
        opened()
        words = f"already run by process {os.getpid()} on {socket.gethostname()} since 2"
        with pytest.raises(StudyLockedError, match=words), DriverSession(database, "study"):
            pass
        with DriverSession(database, "other"):
            assert is_locked(database, "other")
        eventually(lambda: not is_locked(database, "other"))  # when the database sees the end

    def test_a_killed_driver_frees_it(self, database: str) -> None:
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLDER, database],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert holder.stdout is not None
        try:
            assert holder.stdout.readline() == "held\n"
            assert is_locked(database, "study")
        finally:
            holder.send_signal(signal.SIGKILL)
            holder.communicate()
        eventually(lambda: not is_locked(database, "study"))
        with DriverSession(database, "study"):
            pass

    def test_it_is_taken_again_though_the_driver_writes_nothing(
        self, database: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(driver_session, "LOOK_S", 0.01)
        with DriverSession(database, "study") as session:
            first = session._connection
            cut(database)
            eventually(lambda: session._connection not in (None, first))
            assert is_locked(database, "study")

    def test_a_driver_whose_study_was_taken_over_stops(
        self, database: str, opened: Opened
    ) -> None:
        _, journal = opened()
        journal.append_logs([{"n": 0}])
        cut(database)
        _, other = opened()
        other.append_logs([{"n": 1}])
        words = f"no longer run by this process: process {os.getpid()} on .* has taken it over"
        with pytest.raises(StudyStoppedError, match=words):
            journal.append_logs([{"n": 2}])
        other.append_logs([{"n": 3}])
        assert numbers(database) == [0, 1, 3]

    def test_a_driver_whose_study_was_deleted_stops(self, database: str, opened: Opened) -> None:
        _, journal = opened()
        journal.append_logs([{"n": 0}])
        remove_study(database, "study")
        cut(database)
        with pytest.raises(StudyStoppedError, match="it was deleted while the database was away"):
            journal.append_logs([{"n": 1}])
        with pytest.raises(StudyError, match=r"'study' is not in .*, which has no study\."):
            numbers(database)


class TestJournal:
    def test_it_gives_what_was_written(self, database: str, opened: Opened) -> None:
        _, journal = opened()
        assert list(journal.read_logs(0)) == []
        with pytest.raises(StudyError, match=r"'study' is not in .*, which has no study\."):
            read_journal(database, "study")
        journal.append_logs([{"n": 0, "text": 'é\0"'}, {"n": 1}])
        journal.append_logs([{"n": 2}])
        assert list(journal.read_logs(0)) == [{"n": 0, "text": 'é\0"'}, {"n": 1}, {"n": 2}]
        assert list(journal.read_logs(3)) == []
        assert list(journal.read_logs(2)) == [{"n": 2}]
        stored = read_journal(database, "study")
        assert (list(stored.read_logs(1)), stored.is_driven) == ([{"n": 1}, {"n": 2}], True)
        assert stored_studies(database) == ["study"]

    def test_a_restart_loses_nothing_and_doubles_nothing(
        self, postgres: Server, database: str, opened: Opened
    ) -> None:
        _, journal = opened()
        ends = (postgres.stop, postgres.kill)
        for n in range(6):
            journal.append_logs([{"n": n}])
            if n < len(ends):
                ends[n]()
                postgres.start()
        assert numbers(database) == list(range(6))
        assert [entry["n"] for entry in journal.read_logs(0)] == list(range(6))

    @pytest.mark.parametrize("is_interrupted", [False, True])
    def test_an_entry_whose_answer_was_lost_is_there_once(
        self,
        database: str,
        opened: Opened,
        monkeypatch: pytest.MonkeyPatch,
        is_interrupted: bool,
    ) -> None:
        """Of an append that was interrupted, the entry is read with the next one."""
        _, journal = opened()
        insert, lost = (
            journal_table._insert,
            [KeyboardInterrupt() if is_interrupted else OSError()],
        )

        def without_answer(*given: Any) -> int:
            found = insert(*given)
            if lost:
                raise lost.pop()
            return found

        monkeypatch.setattr(journal_table, "_insert", without_answer)
        if is_interrupted:
            with pytest.raises(KeyboardInterrupt):
                journal.append_logs([{"n": 0}])
        else:
            journal.append_logs([{"n": 0}])
        journal.append_logs([{"n": 1}])
        assert numbers(database) == [0, 1]
        assert [entry["n"] for entry in journal.read_logs(0)] == [0, 1]

    def test_what_a_crash_of_the_server_lost_is_written_again(
        self, database: str, opened: Opened, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A server that commits asynchronously loses the last of what it said it had."""
        monkeypatch.setattr(journal_table, "KEPT", 3)
        _, journal = opened()
        for n in range(5):
            journal.append_logs([{"n": n}])
        lose = "DELETE FROM archfront.journal WHERE number >= "
        execute(database, lose + "3")
        cut(database)
        journal.append_logs([{"n": 5}])
        assert numbers(database) == list(range(6))
        execute(database, lose + "1")
        cut(database)
        with pytest.raises(StudyStoppedError, match="has 1 of its 6 entries, as one that was"):
            journal.append_logs([{"n": 6}])

    def test_a_lack_of_entries_is_told(self, database: str, opened: Opened) -> None:
        _, journal = opened()
        journal.append_logs([{"n": 0}, {"n": 1}])
        execute(database, "DELETE FROM archfront.journal WHERE number = 0")
        with pytest.raises(StudyError, match="are damaged: 1 of 2 entries are there"):
            read_journal(database, "study")

    def test_a_database_that_stays_away_stops_the_study_and_each_call_asks_once_more(
        self,
        postgres: Server,
        database: str,
        opened: Opened,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("archfront.search.records.postgres.WAIT_S", 0.1)
        _, journal = opened()
        journal.append_logs([{"n": 0}])
        postgres.stop()
        try:
            for n in (1, 2):
                words = "It was waited for, .* When it is back, the same command goes on"
                with pytest.raises(StudyStoppedError, match=words):
                    journal.append_logs([{"n": n}])
        finally:
            postgres.start()
        journal.append_logs([{"n": 3}])
        assert numbers(database) == [0, 3]

    def test_a_refusal_stops_the_study_at_once(self, database: str, opened: Opened) -> None:
        _, journal = opened()
        execute(database, "ALTER TABLE archfront.journal ADD CHECK (number < 1)")
        journal.append_logs([{"n": 0}])
        with pytest.raises(StudyStoppedError, match=r"violates check.* the same command goes on"):
            journal.append_logs([{"n": 1}])


def test_a_database_that_never_answered_is_not_waited_for() -> None:
    def step() -> None:
        error = DatabaseError("away")
        error.is_away = True
        raise error

    with pytest.raises(DatabaseError, match=r"^away$"):
        patiently("postgresql://me@never-there/db", step, wait_s=3600)
