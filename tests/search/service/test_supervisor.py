"""The supervisor over drivers that do as they are told, in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from archfront.search.records import driver_lock as lock_module
from archfront.search.records.driver_lock import driver_lock
from archfront.search.records.paths import StudyPaths
from archfront.search.service import supervisor as module
from archfront.search.service.driver_process import DriverProcess
from archfront.search.service.ending_words import ending_text, status_text
from archfront.search.service.leases import LEASE_S, Leases, is_gone, new_owner
from archfront.search.service.supervisor import MAX_ATTEMPTS
from tests.support import recorded_store
from tests.support.small_servers import Servers, gone, is_over, kill, without_locks


@pytest.fixture
def servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Servers]:
    monkeypatch.setattr(module, "tracking_of", lambda settings: {"root": str(settings.root)})
    found = Servers(tmp_path / "root")
    yield found
    found.close()


class TestEnds:
    def test_a_study_runs_to_its_end_and_is_left_alone(self, servers: Servers) -> None:
        servers.add("a", "finish")
        server = servers.server()
        row = servers.is_state(server, "a", "finished")
        assert (row.owner, row.pid, row.attempts) == (None, None, 0)
        server.look()
        assert servers.row("a") == row

    def test_a_crash_is_tried_again_and_says_why(self, servers: Servers) -> None:
        servers.add("a", "crash", "finish")
        server = servers.server()
        row = servers.until(server, "a", lambda row: "started again" in row.reason)
        assert row.reason.startswith("its driver was killed by SIGKILL (most often the system")
        assert servers.is_state(server, "a", "finished").reason == ""

    def test_crashes_without_progress_end_a_study(self, servers: Servers) -> None:
        servers.add("a", *["crash"] * MAX_ATTEMPTS)
        row = servers.is_state(servers.server(), "a", "failed")
        assert row.reason.startswith("Its driver was killed by SIGKILL")
        assert row.reason.endswith("Its last lines:\nthe act is crash")

    def test_progress_lets_it_be_tried_further(self, servers: Servers) -> None:
        recorded_store.write(servers.settings.root, "a")
        servers.add("a", "crash", "finish")
        servers.want("a", "run", attempts=MAX_ATTEMPTS - 1)
        server = servers.server()
        servers.until(server, "a", lambda row: row.attempts == 1)
        assert servers.row("a").recorded == 24
        assert servers.is_state(server, "a", "finished").reason == "16 trials trained"

    def test_a_refusal_is_told_in_the_words_of_the_driver(self, servers: Servers) -> None:
        servers.add("a", "refuse")
        row = servers.is_state(servers.server(), "a", "failed")
        assert row.reason == "The images are damaged.\nTwo of them."

    def test_a_mistake_of_archfront_fails_with_its_last_lines(self, servers: Servers) -> None:
        servers.add("a", "traceback")
        row = servers.is_state(servers.server(), "a", "failed")
        assert row.reason == (
            "Its driver ended with status 1. Its last lines:\nthe act is traceback"
        )

    def test_a_driver_that_cannot_be_started_waits(
        self,
        servers: Servers,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        servers.add("a", "finish")
        server = servers.server()
        monkeypatch.setattr(server, "_command", lambda words: ["/nowhere/python"])
        for _ in range(3):
            server.look()
        row = servers.row("a")
        assert row.state == "waiting"
        assert "cannot be started: [Errno 2] No such file" in row.reason
        assert len(caplog.messages) == 1

    def test_without_locks_of_files_no_driver_starts_and_it_says_so(
        self, servers: Servers, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Every study was said to run, for ever, as if another server had started its driver."""
        servers.add("a", "finish")
        server = servers.server()
        StudyPaths(servers.settings.root, "a").lock.parent.mkdir(parents=True)
        StudyPaths(servers.settings.root, "a").lock.touch()
        monkeypatch.setattr(lock_module.fcntl, "flock", without_locks)
        for _ in range(2):
            server.look()
        row = servers.row("a")
        assert row.state == "waiting"
        assert row.reason.startswith("Its driver cannot be started: The file system of ")
        assert "has no locks (No locks available)" in row.reason
        assert row.reason.endswith("mounted with -o flock. The server tries again.")

    def test_statuses_have_words(self) -> None:
        assert status_text(137) == status_text(-9)
        assert status_text(3) == "its driver ended with status 3"
        assert status_text(-99) == "its driver was ended by signal 99"
        assert ending_text(-11, []).endswith("(a mistake in a library) and had said nothing.")


class TestWishes:
    def test_a_pause_lets_the_driver_end_and_a_resume_starts_another(
        self, servers: Servers
    ) -> None:
        servers.add("a", "wait", "finish")
        server = servers.server()
        servers.is_state(server, "a", "running")
        child = servers.child("a")
        servers.want("a", "pause")
        row = servers.is_state(server, "a", "paused")
        assert (row.pid, is_over(child)) == (None, True)
        servers.want("a", "run", state="waiting")
        servers.is_state(server, "a", "finished")

    def test_a_cancel_ends_the_whole_tree_of_a_driver_that_stays(self, servers: Servers) -> None:
        servers.add("a", "stubborn")
        server = servers.server()
        servers.is_state(server, "a", "running")
        child = servers.child("a")
        servers.want("a", "cancel")
        server.look()
        time.sleep(0.2)
        server.look()
        assert servers.row("a").state == "running"  # within its grace
        servers.clock += module.CANCEL_S
        servers.is_state(server, "a", "cancelled")
        assert gone(child)

    def test_what_waits_is_paused_and_cancelled_at_once(self, servers: Servers) -> None:
        server = servers.server(max_studies=0)
        for wanted, state in (("pause", "paused"), ("cancel", "cancelled")):
            servers.add(wanted)
            servers.want(wanted, wanted)
            server.look()
            assert servers.row(wanted).state == state

    def test_another_configuration_starts_another_driver(self, servers: Servers) -> None:
        servers.add("a", "wait", "finish")
        server = servers.server()
        servers.is_state(server, "a", "running")
        servers.child("a")
        servers.want("a", "run", revision=1, config=json.dumps({"study": "a", "budget": 2}))
        row = servers.is_state(server, "a", "finished")
        assert (row.running_revision, row.attempts) == (1, 0)
        written = (servers.settings.study_folder("a") / "config.yaml").read_text()
        assert "budget: 2" in written

    def test_only_so_many_run_at_once_the_oldest_first(self, servers: Servers) -> None:
        server = servers.server(max_studies=2)
        for name in "abc":
            servers.add(name, "wait", "wait", "wait")
        server.look()
        server.look()
        states = [servers.row(name).state for name in "abc"]
        assert states == ["running", "running", "waiting"]
        servers.child("a")
        servers.want("a", "cancel")
        servers.is_state(server, "a", "cancelled")
        servers.is_state(server, "c", "running")

    def test_a_study_that_uses_more_memory_than_it_may_is_ended(self, servers: Servers) -> None:
        servers.add("a", "stubborn")
        server = servers.server(study_memory_mb=1.0)
        driver = server.driver("a")
        server.look()
        assert driver.is_alive()
        row = servers.is_state(server, "a", "failed")
        assert "more than the 1 MB that this server gives a study" in row.reason
        kill(driver)


class TestRestarts:
    def test_a_driver_is_taken_up_by_the_next_server(self, servers: Servers) -> None:
        servers.add("a", "wait")
        first = servers.server()
        servers.is_state(first, "a", "running")
        pid = servers.row("a").pid
        assert pid is not None
        child = servers.child("a")
        first.close()
        assert psutil.pid_exists(pid)
        second = servers.server()
        second.look()
        row = servers.row("a")
        assert (row.state, row.pid) == ("running", pid)
        servers.want("a", "pause")
        servers.is_state(second, "a", "paused")
        assert gone(child)

    def test_the_next_server_starts_no_more_than_it_may(self, servers: Servers) -> None:
        servers.add("a", "wait")
        first = servers.server()
        servers.is_state(first, "a", "running")
        servers.child("a")
        first.close()
        servers.add("b", "wait")
        second = servers.server(max_studies=1)
        for _ in range(2):
            second.look()
        assert [servers.row(name).state for name in "ab"] == ["running", "waiting"]

    def test_a_driver_that_died_without_a_server_is_started_again(self, servers: Servers) -> None:
        servers.add("a", "wait", "finish")
        first = servers.server()
        servers.is_state(first, "a", "running")
        driver = first._drivers["a"]
        holder, child = driver.holder(), servers.child("a")
        assert holder is not None
        assert holder.is_of_service
        first.close()
        kill(driver)
        assert gone(child)
        row = servers.is_state(servers.server(), "a", "finished")
        assert row.attempts == 0

    def test_a_server_that_dies_before_it_starts_a_driver_loses_nothing(
        self, servers: Servers, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        servers.add("a", "finish")
        first = servers.server()

        def die(self: object, content: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(DriverProcess, "start", die)
            with pytest.raises(KeyboardInterrupt):
                first.look()
        assert servers.row("a").state == "running"
        assert servers.row("a").pid is None
        first.close()
        servers.is_state(servers.server(), "a", "finished")

    def test_no_second_driver_starts_beside_a_living_one(self, servers: Servers) -> None:
        servers.add("a", "wait", "wait")
        server = servers.server()
        servers.is_state(server, "a", "running")
        servers.child("a")
        assert servers.server().driver("a").start({}) is None

    def test_a_driver_of_a_person_is_left_to_run_and_can_be_paused(self, servers: Servers) -> None:
        servers.add("a", "finish")
        paths = StudyPaths(servers.settings.root, "a")
        paths.folder.mkdir(parents=True)
        server = servers.server()
        with driver_lock(paths):
            server.look()
            row = servers.row("a")
            assert (row.state, row.pid) == ("running", os.getpid())
            servers.want("a", "pause")
            came: list[int] = []
            before = signal.signal(signal.SIGTERM, lambda number, _: came.append(number))
            server.look()
            signal.signal(signal.SIGTERM, before)
            assert came == [signal.SIGTERM]
        servers.is_state(server, "a", "paused")


class TestLeases:
    def test_of_two_servers_one_gets_a_study(self, servers: Servers) -> None:
        servers.add("a", "wait")
        one, two = servers.server(), servers.server()
        one.look()
        two.look()
        assert servers.row("a").owner == one._leases.owner
        assert two._drivers == {}

    def test_a_driver_of_another_machine_is_left_to_a_server_there(
        self, servers: Servers, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A server kept the lease of a driver that it could not end: nobody could cancel it."""
        servers.add("a", "wait")
        one, two = servers.server(), servers.server()
        servers.is_state(one, "a", "running")
        child = servers.child("a")
        one._leases.release("a")  # as a server does that is started again
        with monkeypatch.context() as patch:
            patch.setattr("socket.gethostname", lambda: "another")
            for wanted in ("run", "cancel"):
                servers.want("a", wanted)
                two.look()
                row = servers.row("a")
                assert (row.state, row.owner) == ("running", None)
        servers.is_state(one, "a", "cancelled")
        assert gone(child)

    def test_a_server_without_room_leaves_a_study_to_another(self, servers: Servers) -> None:
        for name in "ab":
            servers.add(name, "wait", "wait")
        one, two = servers.server(), servers.server()
        for server in (one, one, two):
            server.look()
        rows = [servers.row(name) for name in "ab"]
        assert [row.state for row in rows] == ["running", "running"]
        assert [row.owner for row in rows] == [one._leases.owner, two._leases.owner]

    def test_a_lease_that_is_over_is_taken_and_not_renewed(self, servers: Servers) -> None:
        servers.add("a")
        one, two = (Leases(servers.database, f"elsewhere/{n}/1/x") for n in (1, 2))
        now = servers.database.now()
        assert one.claim(servers.row("a"), now)
        assert not two.claim(servers.row("a"), now + LEASE_S - 1)
        assert one.claim(servers.row("a"), now + LEASE_S - 1)  # renewed
        assert not two.claim(servers.row("a"), now + LEASE_S + 1)
        late = servers.row("a")
        assert two.claim(late, now + 3 * LEASE_S)
        assert not one.claim(late, now + 3 * LEASE_S)
        one.release("a")
        assert servers.row("a").owner == two.owner

    def test_a_server_of_this_machine_that_is_gone_loses_its_leases_at_once(
        self, servers: Servers
    ) -> None:
        servers.add("a")
        mine = new_owner()
        host, pid, started, own = mine.split("/")
        dead = f"{host}/{pid}/{int(started) - 100}/{own}"
        assert [is_gone(owner) for owner in (mine, dead, "elsewhere/1/1/x")] == [
            False,
            True,
            False,
        ]
        now = servers.database.now()
        assert Leases(servers.database, dead).claim(servers.row("a"), now)
        assert Leases(servers.database, mine).claim(servers.row("a"), now)
