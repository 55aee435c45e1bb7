"""The studies of a service: made, listed, paused, resumed, extended, cloned, deleted."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from archfront.search.config.compose import load
from archfront.search.records.driver_lock import driver_lock
from archfront.search.records.paths import StudyPaths
from archfront.search.service.state import Service
from archfront.search.service.task_rows import TASKS
from tests.support import recorded_store, small_driver
from tests.support.services import client_of
from tests.support.waiting import eventually

PATH = "/api/v1/studies"
DIGITS = {"choices": {"experiment": "digits"}}


@pytest.fixture
def root(recorded_root: Path, tmp_path: Path) -> Path:
    """Return a root of its own with the finished study ``flowers``."""
    return Path(shutil.copytree(recorded_root / "studies", tmp_path / "root/studies")).parent


@pytest.fixture
def client(root: Path) -> Iterator[TestClient]:
    with client_of(root) as client:
        yield client


def service_of(client: TestClient) -> Service:
    service: Service = client.app.state.service  # type: ignore[attr-defined]
    return service


def ask(client: TestClient, method: str, path: str, status: int = 200, **body: Any) -> Any:
    answer = client.request(method, f"{PATH}{path}", **({"json": body} if body else {}))
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


def refused(client: TestClient, method: str, path: str, status: int, **body: Any) -> str:
    """Return the code of an error."""
    return str(ask(client, method, path, status, **body)["error"]["code"])


class TestMade:
    def test_a_study_waits_for_its_turn(self, client: TestClient) -> None:
        made = ask(client, "POST", "", 201, name="new", **DIGITS, options={"budget.trials": 3})
        assert (made["state"], made["wanted"], made["created_by"]) == ("waiting", "run", "first")
        assert made["config"]["budget"]["trials"] == 3
        assert "tracking" not in made["config"]
        assert made["command"].startswith("archfront run study=new experiment=digits budget.trial")
        assert [study["name"] for study in ask(client, "GET", "")] == ["new", "flowers"]

    def test_one_that_is_not_to_start_is_paused(self, client: TestClient) -> None:
        made = ask(client, "POST", "", 201, name="later", **DIGITS, start=False)
        assert (made["state"], made["wanted"]) == ("paused", "pause")
        assert ask(client, "POST", "/later/resume")["state"] == "waiting"

    def test_every_problem_is_answered_with_its_option(self, client: TestClient) -> None:
        body = {"name": "../new", **DIGITS, "options": {"budget.trials": 0, "tracking.root": "/"}}
        for path in ("", "/check", "/plan"):
            error = ask(client, "POST", path, 422, **body)["error"]
            options = [problem["option"] for problem in error["problems"]]
            assert (error["code"], options) == (
                "bad_configuration",
                ["tracking.root", "budget.trials", "name"],
            )
        assert [study["name"] for study in ask(client, "GET", "")] == ["flowers"]

    def test_a_check_makes_nothing(self, client: TestClient) -> None:
        found = ask(client, "POST", "/check", name="new", **DIGITS)
        assert found["config"]["task"]["name"] == "classification"
        assert found["command"].startswith("archfront run study=new experiment=digits")
        assert refused(client, "GET", "/new", 404) == "no_such_study"

    @pytest.mark.parametrize("name", ["new", "flowers"])
    def test_a_name_is_given_once(self, client: TestClient, name: str) -> None:
        if name == "new":
            ask(client, "POST", "", 201, name=name, **DIGITS)
        more = {"options": {"budget.trials": 0}}
        for path in ("", "/check", *(["/flowers/clone"] if name == "new" else [])):
            given = {"name": name} if path.endswith("clone") else {"name": name, **DIGITS}
            error = ask(client, "POST", path, 409, **given)["error"]
            assert error["code"] == "study_exists"
            assert [p["option"] for p in error["problems"]] == ["name"]
            error = ask(client, "POST", path, 422, **given, **more)["error"]
            assert [p["option"] for p in error["problems"]] == ["name", "budget.trials"]


class TestOfTerminals:
    def test_a_study_of_a_terminal_is_shown_by_its_records(self, client: TestClient) -> None:
        (study,) = ask(client, "GET", "")
        assert (study["state"], study["reason"]) == ("finished", "16 trials trained")
        assert (study["wanted"], study["created_by"]) == (None, "command line")
        assert study["counts"] == {"trained": 16, "rejected": 6, "failed": 2}
        assert (study["metric"], study["task"]) == ("accuracy", "classification")
        assert 0.9 < study["best"] < 1
        whole = ask(client, "GET", "/flowers")
        assert whole["config"]["hardware"]["limits"]["latency_ms"] == 4.0
        assert whole["command"] is None
        assert ask(client, "GET", "/flowers/log") == []

    def test_it_is_extended_and_goes_on(self, client: TestClient) -> None:
        assert refused(client, "POST", "/flowers/resume", 409) == "wrong_state"
        budget = ask(client, "GET", "/flowers")["config"]["budget"]
        assert (budget["trials"], budget["minutes"]) == (16, None)
        for wrong in ({"trials": 16}, {"minutes": 60}, {"minutes": None}, {"trials": 16.5}):
            error = ask(client, "POST", "/flowers/extend", 422, **wrong)["error"]
            assert error["problems"][0]["option"].endswith(next(iter(wrong)))
        assert (
            "has no such limit"
            in ask(client, "POST", "/flowers/extend", 422, minutes=9)["error"]["message"]
        )
        assert client.post(f"{PATH}/flowers/extend", json={}).status_code == 422
        more = ask(client, "POST", "/flowers/extend", trials=20)
        assert (more["state"], more["config"]["budget"]["trials"]) == ("waiting", 20)
        assert (more["created_by"], more["reason"]) == ("command line", "")

    def test_it_is_cloned_with_other_options(self, client: TestClient) -> None:
        options = {"budget.trials": 5, "data.root": "/etc"}
        error = ask(client, "POST", "/flowers/clone", 422, name="2", options=options)["error"]
        assert [p["option"] for p in error["problems"]] == ["data.root"]
        options.pop("data.root")
        options["data.reader"] = "digits"
        made = ask(client, "POST", "/flowers/clone", 201, name="2", options=options)
        assert (made["name"], made["config"]["study"], made["state"]) == ("2", "2", "waiting")
        assert made["config"]["budget"]["trials"] == 5
        assert refused(client, "POST", "/flowers/clone", 409, name="2") == "study_exists"

    def test_one_that_runs_in_a_terminal_runs(self, client: TestClient, root: Path) -> None:
        with driver_lock(StudyPaths(root, "flowers")):
            assert ask(client, "GET", "/flowers")["state"] == "running"
            assert refused(client, "DELETE", "/flowers", 409) == "wrong_state"

    def test_records_that_are_damaged_are_told(self, client: TestClient, root: Path) -> None:
        StudyPaths(root, "flowers").journal.write_text("nonsense\nmore\n")
        (study,) = ask(client, "GET", "")
        assert study["state"] == "failed"
        assert "are damaged" in study["reason"]


class TestWishes:
    def test_what_nobody_can_do_is_refused(self, client: TestClient) -> None:
        for path in ("/flowers/pause", "/flowers/cancel"):
            assert refused(client, "POST", path, 409) == "wrong_state"
        for path in ("/no", "/no/log", "/../etc"):
            assert client.get(f"{PATH}{path}").status_code == 404
        for path in ("/no/pause", "/no/resume", "/no/cancel"):
            assert refused(client, "POST", path, 404) == "no_such_study"
        assert refused(client, "POST", "/no/extend", 404, minutes=1) == "no_such_study"
        assert refused(client, "POST", "/no/clone", 404, name="x") == "no_such_study"

    def test_a_study_is_run_paused_resumed_cancelled_and_deleted(
        self, client: TestClient, root: Path
    ) -> None:
        acts = root / "acts.json"
        acts.write_text(json.dumps(["wait", "wait"]))
        supervisor = service_of(client).supervisor

        def command(words: Sequence[str]) -> list[str]:
            return [sys.executable, "-S", str(small_driver.__file__), str(acts), *words]

        def until(state: str) -> dict[str, Any]:
            def found() -> dict[str, Any]:
                supervisor.look()
                row: dict[str, Any] = ask(client, "GET", "/new")
                return row if row["state"] == state else {}

            return eventually(found, lambda: ask(client, "GET", "/new"))

        supervisor._command = command
        ask(client, "POST", "", 201, name="new", **DIGITS)
        for wish, coming, state in (
            ("pause", "pausing", "paused"),
            ("cancel", "cancelling", "cancelled"),
        ):
            until("running")
            child = root / "studies/new/child"
            eventually(child.is_file)
            child.unlink()
            assert ask(client, "GET", "/new/log")[-1] == "the act is wait"
            config = service_of(client).settings.study_folder("new") / "config.yaml"
            assert load(config, ()).content["tracking"]["root"] == str(root)
            assert refused(client, "DELETE", "/new", 409) == "wrong_state"
            assert ask(client, "POST", f"/new/{wish}")["state"] == coming
            until(state)
            if wish == "pause":
                assert ask(client, "POST", "/new/resume")["state"] == "waiting"
        ask(client, "DELETE", "/new", 204)
        assert refused(client, "GET", "/new", 404) == "no_such_study"
        assert not (root / "studies/new").exists()
        assert not (root / "service/drivers/new").exists()

    def test_its_tasks_are_deleted_with_it(self, client: TestClient) -> None:
        """A new study showed the failed exports of a deleted one of its name."""
        ask(client, "POST", "", 201, name="new", start=False, **DIGITS)
        service = service_of(client)
        for kind, state in (("export", "failed"), ("refit", "finished"), ("profile", "finished")):
            row = service.tasks.rows.add(kind, "new", [kind])  # type: ignore[arg-type]
            with service.database.begin() as connection:
                connection.execute(TASKS.update().where(TASKS.c.id == row.id).values(state=state))
        ask(client, "DELETE", "/new", 204)
        # The profile is that of a dataset.
        assert [row.kind for row in service.tasks.rows.listed(subject="new")] == ["profile"]

    @pytest.mark.slow
    def test_a_finished_study_is_deleted_as_the_command_does(
        self, client: TestClient, root: Path
    ) -> None:
        recorded_store.write(root, "other")
        ask(client, "DELETE", "/flowers", 204)
        assert [study["name"] for study in ask(client, "GET", "")] == ["other"]
        assert not (root / "studies/flowers").exists()
