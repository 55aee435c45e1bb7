"""The tasks of a server: refits, variants, exports and profiles in processes of their own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from starlette.testclient import TestClient

from archfront.search.errors import RequestError, ServiceError
from archfront.search.records import driver_lock
from archfront.search.service import task_rows, task_runner
from archfront.search.service.export_files import export_folder
from archfront.search.service.service_database import ServiceDatabase
from archfront.search.service.service_settings import ServiceSettings
from archfront.search.service.task_rows import TASKS, TaskRow
from archfront.search.service.task_runner import TaskRunner
from archfront.search.service.verb_process import end_tree
from tests.support.services import client_of
from tests.support.small_servers import without_locks
from tests.support.waiting import eventually

STUDY = "/api/v1/studies/flowers"


def script(words: Sequence[str]) -> list[str]:
    """Return the shell that runs the last word: what a task does, without archfront."""
    return ["/bin/sh", "-c", words[-1]]


class Server:
    """A runner of tasks over a folder, as a server has one."""

    def __init__(self, root: Path, max_commands: int = 2) -> None:
        self.settings = settings = ServiceSettings(root=root, max_commands=max_commands)
        self.database = ServiceDatabase(settings.database)
        self.runner = TaskRunner(settings, self.database, command=script)
        self.rows = self.runner.rows

    def add(self, subject: str, text: str, kind: task_rows.Kind = "refit") -> str:
        return self.rows.add(kind, subject, [kind, subject, text]).id

    def until(self, is_there: Callable[[], bool]) -> None:
        """Look at the tasks until something is there."""

        def is_so() -> bool:
            self.runner.look()
            return is_there()

        eventually(is_so)

    def row(self, id: str, is_so: Callable[[TaskRow], bool]) -> TaskRow:
        """Look at the tasks until the row of one is as it is to be, and return that row."""

        def found() -> TaskRow | None:
            self.runner.look()
            return row if is_so(row := self.rows.get(id)) else None

        row = eventually(found)
        assert row is not None
        return row

    def written(self, file: Path) -> str:
        """Look at the tasks until a line is in a file, and return the text of it."""
        self.until(lambda: file.is_file() and file.read_text().endswith("\n"))
        return file.read_text()

    def ended(self, id: str) -> TaskRow:
        return self.row(id, lambda row: not row.is_open)

    def started(self, id: str) -> TaskRow:
        return self.row(id, lambda row: row.pid is not None)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    yield server
    server.runner.close()
    server.database.close()


class TestRunner:
    def test_a_task_ends_with_its_last_words(self, server: Server) -> None:
        good = server.ended(server.add("a", "echo first; echo report in here"))
        assert (good.state, good.message) == ("finished", "report in here")
        assert good.started is not None
        assert good.ended is not None
        text = "echo beside; echo 'archfront: 2 problems:' >&2; echo '  1. no' >&2; exit 2"
        bad = server.ended(server.add("b", text))
        assert (bad.state, bad.message) == ("failed", "2 problems:\n  1. no")
        silent = server.ended(server.add("c", "exit 9"))
        assert silent.message == "archfront refit ended with status 9: it said nothing"

    def test_one_that_cannot_be_started_fails_and_the_others_run(self, server: Server) -> None:
        """A null byte in a word ended the thread that starts all tasks."""
        bad, good = server.add("a", "echo \0"), server.add("b", "echo")
        row = server.ended(bad)
        assert (row.state, row.message) == ("failed", "It cannot be started: embedded null byte.")
        assert server.ended(good).state == "finished"

    def test_without_locks_of_files_it_says_so(
        self, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It waited for ever, as behind another task of its study."""
        monkeypatch.setattr(driver_lock.fcntl, "flock", without_locks)
        row = server.ended(server.add("a", "echo"))
        assert row.state == "failed"
        assert row.message.startswith("It cannot be started: The file system of ")
        assert "has no locks (No locks available)" in row.message

    def test_an_end_is_noted_when_the_database_is_back(
        self, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A task that ended while the database was away was run once more."""
        id = server.add("a", "echo done")
        change, away = server.rows.change, [ServiceError("It is away.")]

        def changed(id: str, owner: str, **values: Any) -> bool:
            if "ended" in values and away:
                raise away.pop()
            return change(id, owner, **values)

        monkeypatch.setattr(server.rows, "change", changed)
        with pytest.raises(ServiceError, match="away"):
            server.ended(id)
        assert (server.ended(id).state, server.rows.get(id).attempts) == ("finished", 1)

    def test_no_mistake_ends_the_looking(
        self,
        server: Server,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        look, wrong = server.runner.look, [ValueError("a mistake"), OSError("no"), OSError("no")]

        def looked() -> None:
            if wrong:
                raise wrong.pop(0)
            look()

        monkeypatch.setattr(server.runner, "look", looked)
        monkeypatch.setattr(task_runner, "LOOK_S", 0.01)
        id = server.add("a", "echo")
        server.runner.start()
        eventually(lambda: server.rows.get(id).state == "finished")
        told = [record.getMessage() for record in caplog.records]
        assert [text.partition(":")[0] for text in told] == [
            "The tasks are looked at again in 0.01 s",
            "The tasks are looked at again every 0.01 s",
        ]

    def test_few_run_at_once_and_one_of_a_study(self, server: Server, tmp_path: Path) -> None:
        text = f"while [ ! -e {tmp_path / 'go'} ]; do sleep 0.01; done"
        first = server.add("a", text)
        second = server.add("a", text, "variants")
        others = [server.add(name, text) for name in ("b", "c")]
        for _ in range(3):
            server.runner.look()
        states = [server.rows.get(id).state for id in (first, second, *others)]
        assert states == ["running", "waiting", "running", "waiting"]
        (tmp_path / "go").touch()
        for id in (first, second, *others):
            assert server.ended(id).state == "finished"

    def test_a_study_and_a_dataset_of_one_name_have_tasks_of_their_own(
        self, server: Server, tmp_path: Path
    ) -> None:
        text = f"while [ ! -e {tmp_path / 'go'} ]; do sleep 0.01; done"
        dataset = server.add("a", text, "profile")
        server.rows.check_none("a")  # the study may be deleted
        study = server.add("a", text)
        for _ in range(3):
            server.runner.look()
        assert {server.rows.get(id).state for id in (study, dataset)} == {"running"}
        with pytest.raises(RequestError, match="A refit of 'a' is open"):
            server.rows.check_none("a")
        (tmp_path / "go").touch()
        assert {server.ended(id).state for id in (study, dataset)} == {"finished"}

    def test_the_same_waits_once(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        server.add("a", "true")
        with pytest.raises(RequestError, match="A refit of 'a' waits or runs already"):
            server.add("a", "true")
        monkeypatch.setattr(task_rows, "MOST_OPEN", 2)
        server.add("a", "true", "export")
        with pytest.raises(RequestError, match="2 tasks wait or run"):
            server.add("a", "true", "export")

    def test_one_that_ended_long_ago_is_removed_with_what_it_printed(
        self, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ids = {
            name: server.ended(server.add(name, "echo", kind)).id
            for name, kind in (
                ("old", "refit"), ("export", "export"), ("gone", "export"), ("data", "profile"),
                ("new", "refit"),
            )
        }  # fmt: skip
        waiting = server.rows.add("refit", "open", ["refit"]).id
        monkeypatch.setattr(server.runner, "_begin", lambda *_: False)
        old = task_rows.KEPT_S + 1
        with server.database.begin() as connection:
            ended = server.database.now() - old
            is_old = TASKS.c.id.in_([id for name, id in ids.items() if name != "new"])
            connection.execute(update(TASKS).where(is_old).values(ended=ended))
        folder = export_folder(server.settings, "export", ids["export"])
        folder.mkdir(parents=True)
        monkeypatch.setattr(task_runner, "PRUNE_S", 0.0)
        server.runner.look()
        kept = {row.id for row in server.rows.listed()}
        assert kept == {ids["export"], ids["data"], ids["new"], waiting}
        there = {name for name, id in ids.items() if server.runner.folder(id).exists()}
        assert there == {"export", "data", "new"}
        monkeypatch.setattr(task_rows, "N_KEPT", 0)
        server.runner.look()
        kept = {row.id for row in server.rows.listed()}
        assert kept == {ids["export"], ids["data"], waiting}

    def test_one_that_is_cancelled_ends_with_its_children(
        self, server: Server, tmp_path: Path
    ) -> None:
        id = server.add("a", f"sleep 600 & echo $! > {tmp_path / 'pid'}; wait")
        child = int(server.written(tmp_path / "pid"))
        server.rows.cancel(id, server.database.now())
        server.until(lambda: not is_alive(child))
        assert server.rows.get(id).state == "cancelled"
        waiting = server.add("a", "echo no")
        server.rows.cancel(waiting, 1.0)
        server.runner.look()
        assert not server.runner.folder(waiting).exists()

    def test_a_server_that_ends_leaves_its_tasks_to_the_next_one(
        self, server: Server, tmp_path: Path
    ) -> None:
        id = server.add("a", f"[ -e {tmp_path / 'go'} ] && echo done || sleep 600")
        pid = server.started(id).pid
        assert pid is not None
        server.runner.close()
        assert not is_alive(pid)
        row = server.rows.get(id)
        assert (row.state, row.attempts, row.pid) == ("waiting", 0, None)
        (tmp_path / "go").touch()
        later = Server(tmp_path)
        assert later.ended(id).message == "done"
        later.database.close()

    def test_a_task_of_a_killed_server_starts_again_but_not_for_ever(
        self, server: Server, tmp_path: Path
    ) -> None:
        id = server.add("a", "sleep 600")
        for attempt in (1, 2, 3):
            row = server.started(id)
            assert (row.state, row.attempts) == ("running", attempt)
            kill_server(server, id)
            server.runner.look()
            assert row.pid is not None
            assert not is_alive(row.pid, server)
        row = server.rows.get(id)
        assert (row.state, row.message) == ("failed", "The server ended 3 times while it ran.")

    def test_one_that_waits_again_has_no_process(
        self, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It named that of its earlier attempt while what that one left held the lock."""
        id = server.add("a", "sleep 600")
        before = server.started(id)
        kill_server(server, id)
        monkeypatch.setattr(server.runner, "_begin", lambda *_: False)
        server.runner.look()
        row = server.rows.get(id)
        assert (row.state, row.pid, row.process_started) == ("waiting", None, None)
        assert before.pid is not None
        assert not is_alive(before.pid, server)

    def test_a_process_that_nobody_knows_of_is_waited_for(
        self, server: Server, tmp_path: Path
    ) -> None:
        """The server was killed after it had started the process, before it noted which one."""
        id = server.add("a", f"echo x >> {tmp_path / 'starts'}; sleep 600")
        server.written(tmp_path / "starts")
        kill_server(server, id)
        change(server, id, pid=None)
        other = server.add("a", "echo done", "variants")
        for _ in range(3):
            server.runner.look()
        assert {server.rows.get(task).state for task in (id, other)} == {"waiting"}
        assert (tmp_path / "starts").read_text() == "x\n"
        server.rows.cancel(id, server.database.now())
        (process,) = server.processes  # type: ignore[attr-defined]
        end_tree(process.pid)
        process.wait()
        assert server.ended(other).message == "done"

    def test_a_server_of_another_machine_has_its_lease(self, server: Server) -> None:
        id = server.add("a", "true")
        row = server.rows.get(id)
        assert server.rows.claim(row, "elsewhere/1/1/x", server.database.now())
        server.runner.look()
        assert server.rows.get(id).owner == "elsewhere/1/1/x"
        change(server, id, lease_until=0.0)
        assert server.ended(id).state == "finished"


def change(server: Server, id: str, **values: Any) -> None:
    with server.database.begin() as connection:
        connection.execute(TASKS.update().where(TASKS.c.id == id).values(values))


def kill_server(server: Server, id: str) -> None:
    """Let a task be that of a server which is gone, whose process runs on."""
    host = os.uname().nodename
    change(server, id, owner=f"{host}/999999999/1/x")
    server.processes = getattr(server, "processes", [])  # type: ignore[attr-defined]
    server.processes.append(server.runner._running.pop(id))  # type: ignore[attr-defined]


def is_alive(pid: int, server: Server | None = None) -> bool:
    """Return whether a process runs; one that has ended may wait for its parent."""
    for process in getattr(server, "processes", ()):
        if process.pid == pid:
            process.wait(30)
    with suppress(OSError, ValueError):
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z"
    return False


class TestRoutes:
    @pytest.fixture
    def client(self, recorded_root: Path, tmp_path: Path) -> Iterator[TestClient]:
        shutil.copytree(recorded_root / "studies", tmp_path / "studies")
        with client_of(tmp_path) as client:
            yield client

    def test_a_task_is_listed_shown_and_cancelled(self, client: TestClient) -> None:
        made = client.post(f"{STUDY}/refit", json={"members": ["knee"]})
        assert made.status_code == 202
        task = made.json()
        assert (task["kind"], task["subject"], task["state"]) == ("refit", "flowers", "waiting")
        assert task["created_by"] == "first"
        kept = client.delete(STUDY)
        assert (kept.status_code, kept.json()["error"]["code"]) == (409, "task_is_open")
        again = client.post(f"{STUDY}/refit", json={})
        assert (again.status_code, again.json()["error"]["code"]) == (409, "task_exists")
        assert client.get("/api/v1/tasks", params={"kind": "refit"}).json() == [task]
        assert client.get("/api/v1/tasks", params={"state": "failed"}).json() == []
        assert client.get(f"/api/v1/tasks/{task['id']}").json() == {**task, "lines": []}
        assert client.get(f"{STUDY}/refits").json()["tasks"] == [task]
        assert client.delete(f"/api/v1/tasks/{task['id']}").status_code == 204
        answer = client.delete(f"/api/v1/tasks/{task['id']}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "wrong_state")
        assert client.get("/api/v1/tasks/nothing").status_code == 404

    @pytest.mark.parametrize(
        ("path", "body", "status"),
        [
            ("refit", {"members": ["--root=/"]}, 422),
            ("refit", {"members": ["999"]}, 409),
            ("refit", {"seeds": 0}, 422),
            ("refit", {"epochs": 1e9}, 422),
            ("refit", {"script": "x"}, 422),
            ("variants", {"precisions": ["fp64"]}, 422),
            ("variants", {"sizes": []}, 422),
            ("variants", {"runtimes": ["sh"]}, 422),
            ("exports", {"formats": ["pickle"]}, 422),
            ("exports", {"member": "../x"}, 422),
            ("exports", {"batch": 2, "dynamic_batch": True}, 422),
            ("exports", {"out": "/tmp/x"}, 422),
        ],
    )
    def test_what_no_command_takes_is_refused(
        self, client: TestClient, path: str, body: dict[str, Any], status: int
    ) -> None:
        answer = client.post(f"{STUDY}/{path}", json=body)
        assert answer.status_code == status, answer.text
        assert client.get("/api/v1/tasks").json() == []

    def test_variants_are_made_and_shown(self, client: TestClient) -> None:
        assert client.post(f"{STUDY}/variants", json={"sizes": [32]}).status_code == 202
        found = client.get(f"{STUDY}/variants").json()
        assert (found["summary"], len(found["tasks"])) == (None, 1)
