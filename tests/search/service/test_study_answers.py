"""The answers about the trials and the front of a recorded study."""

from __future__ import annotations

import csv
import io
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from archfront.search.errors import ArchfrontError
from archfront.search.front.members import (
    final_evaluations,
    front_hypervolume,
    losses_of,
)
from archfront.search.records.evaluation import Trained
from archfront.search.records.paths import StudyPaths
from archfront.search.records.store import driving
from archfront.search.results.results import Results
from archfront.search.service.front_history import Growth
from archfront.search.service.trial_answers import table_of
from tests.support import recorded_store, recorded_study
from tests.support.services import client_of

STUDY = "/api/v1/studies/flowers"


def get(client: TestClient, path: str, **query: Any) -> Any:
    answer = client.get(f"{STUDY}/{path}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def error_of(client: TestClient, path: str, **query: Any) -> tuple[int, str]:
    answer = client.get(f"{STUDY}/{path}", params=query)
    return answer.status_code, answer.json()["error"]["code"]


def results_of(client: TestClient) -> Results:
    results: Results = client.app.state.service.results("flowers")  # type: ignore[attr-defined]
    return results


@pytest.mark.parametrize(
    "path", ["front", "trials", "trials.csv", "columns", "devices", "history", "rejected"]
)
def test_a_study_whose_driver_has_yet_to_write_what_it_is_has_not_begun(
    path: str, tmp_path: Path
) -> None:
    paths = StudyPaths(tmp_path, "flowers")
    with driving(paths, None, list(recorded_study.OBJECTIVES)):
        paths.config.write_text("{}", encoding="utf-8")
    with client_of(tmp_path) as client:
        assert error_of(client, path) == (404, "no_such_study")
        assert get(client, "running")["has_begun"] is False


class TestTrials:
    def test_they_are_listed_by_state_and_by_part(self, service_client: TestClient) -> None:
        page = get(service_client, "trials", limit=1000)
        assert [row["trial"] for row in page["trials"]] == list(range(24))
        states = [row["state"] for row in page["trials"]]
        counts = results_of(service_client).counts()
        assert {state: states.count(state) for state in counts} == counts
        part = get(service_client, "trials", state="rejected", offset=2, limit=3)
        assert (part["total"], len(part["trials"])) == (counts["rejected"], 3)
        every = [row for row in page["trials"] if row["state"] == "rejected"]
        assert part["trials"] == every[2:5]
        assert "latency_ms" in every[0]["reason"]
        own = get(service_client, "trials", backbone="resnet18")
        assert {row["backbone"] for row in own["trials"]} == {"resnet18"}

    @pytest.mark.parametrize(
        "query", [{"limit": 0}, {"limit": 1001}, {"offset": -1}, {"state": "good"}]
    )
    def test_a_wrong_part_is_refused(
        self, service_client: TestClient, query: dict[str, Any]
    ) -> None:
        assert error_of(service_client, "trials", **query) == (422, "bad_request")

    def test_one_in_full_says_what_is_recorded(self, service_client: TestClient) -> None:
        best = get(service_client, "front", best=1)["members"][0]
        shown = get(service_client, f"trials/{best['trial']}")
        (record,) = (e for e in recorded_study.study() if e.trial == best["trial"])
        assert isinstance(record.outcome, Trained)
        assert shown["is_on_front"]
        assert shown["metric"] == record.outcome.metric == best["metric"]
        assert shown["latency"]["p95_ms"] == pytest.approx(shown["latency"]["p50_ms"] * 1.1)
        assert [row["epoch"] for row in shown["curve"]] == [1, 2, 3]
        assert shown["candidate"] == record.candidate.as_dict()
        assert [rung["outcome"] for rung in shown["rungs"]] == ["trained"]
        assert shown["files"] == {"gallery": False, "mistakes": False, "details": False}
        failed = get(service_client, "trials", state="failed")["trials"][0]["trial"]
        shown = get(service_client, f"trials/{failed}")
        assert (shown["curve"], shown["metric"]) == ([], None)
        assert shown["reason"].startswith("diverged: ")

    def test_one_that_is_not_there_is_told(self, service_client: TestClient) -> None:
        for path in ("trials/99", "trials/-1", "trials/99/gallery.png", "trials/99/details.json"):
            assert error_of(service_client, path) == (404, "no_such_trial")
        assert error_of(service_client, "trials/0/gallery.png") == (404, "no_such_file")
        assert error_of(service_client, "trials/x") == (422, "bad_request")
        assert error_of(service_client, "trials/0/study.png") == (422, "bad_request")
        answer = service_client.get("/api/v1/studies/roses/trials")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "no_such_study")

    def test_the_table_has_every_trial_and_no_formula(
        self, service_client: TestClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answer = service_client.get(f"{STUDY}/trials.csv")
        rows = list(csv.DictReader(io.StringIO(answer.text)))
        shown = get(service_client, "trials", limit=1000)["trials"]
        assert [int(row["trial"]) for row in rows] == [row["trial"] for row in shown]
        assert [row["label"] for row in rows] == [row["label"] for row in shown]
        assert answer.headers["content-type"].startswith("text/csv")
        table = table_of(service_client.app.state.service.read("flowers"))  # type: ignore[attr-defined]
        row = table.rows[0].model_copy(update={"label": "=1+1"})
        monkeypatch.setitem(table.by_trial, row.trial, row)
        assert "'=1+1" in service_client.get(f"{STUDY}/trials.csv").text

    def test_pictures_stay_within_the_study(self, tmp_path: Path) -> None:
        paths = recorded_store.write(tmp_path)
        (secret := tmp_path / "secret.png").write_bytes(b"secret")
        with client_of(tmp_path) as client:
            trained = [e for e in results_of(client).evaluations if e.kind == "trained"]
            first, second = trained[:2]
            assert isinstance(first.outcome, Trained)
            assert isinstance(second.outcome, Trained)
            paths.gallery(first.outcome.predictions).write_bytes(b"png")
            paths.gallery(second.outcome.predictions).symlink_to(secret)
            paths.details(first.outcome.predictions).write_text('{"rose": 1}')
            answer = client.get(f"{STUDY}/trials/{first.trial}/gallery.png")
            assert (answer.content, answer.headers["content-type"]) == (b"png", "image/png")
            assert get(client, f"trials/{first.trial}/details.json") == {"rose": 1}
            path = f"trials/{second.trial}/gallery.png"
            assert error_of(client, path) == (404, "no_such_file")

    def test_what_was_not_trained_has_its_reason(self, service_client: TestClient) -> None:
        found = get(service_client, "rejected")
        assert (found["n_rejected"], found["n_failed"]) == (6, 2)
        (row,) = found["rejections"]
        assert (row["limit"], row["allowed"], row["count"]) == ("latency_ms", 4.0, 6)
        assert len(row["trials"]) == 6
        assert sum(row["count"] for row in found["failures"]) == 2


class TestWhy:
    @pytest.mark.parametrize(
        ("backbone", "why", "said"),
        [
            ("resnet18", ("on_front", "trained"), "resnet18"),
            ("resnet18.a1_in1k", ("on_front", "trained"), "resnet18"),
            ("resnet19", ("unknown",), "near: resnet1"),
            ("hf:me/mine", ("unknown",), "space.backbones"),
        ],
    )
    def test_every_backbone_has_a_reason(
        self, service_client: TestClient, backbone: str, why: tuple[str, ...], said: str
    ) -> None:
        found = get(service_client, "why", backbone=backbone)
        assert found["why"] in why
        assert said in found["text"]

    def test_filters_and_what_is_not_proposed_are_told_apart(
        self, service_client: TestClient
    ) -> None:
        space = results_of(service_client).begun().config["space"]
        found = get(service_client, "why", backbone="vit_huge_patch14_224")
        assert (found["why"], found["trials"]) == ("left_out", [])
        assert ",".join(space["backbones"]) in found["text"] or "space." in found["text"]
        assert error_of(service_client, "why") == (422, "bad_request")
        assert error_of(service_client, "why", backbone="") == (422, "bad_request")


class TestFront:
    def test_it_is_that_of_the_command(self, service_client: TestClient) -> None:
        found, results = get(service_client, "front"), results_of(service_client)
        for shown, row in zip(found["members"], results.rows(), strict=True):
            assert {k: shown[k] for k in row} == row
        assert found["named"]["fastest"] == found["members"][0]["trial"]
        assert found["metric"] == "accuracy"
        assert [o["name"] for o in found["objectives"]] == ["accuracy", "latency_ms"]
        assert found["hypervolume"] == pytest.approx(
            front_hypervolume(results.evaluations, results.objectives, results.begun().reference)
        )

    def test_the_most_accurate_under_a_limit(self, service_client: TestClient) -> None:
        trained = final_evaluations(results_of(service_client).evaluations)
        for name, limit in (("latency_ms", 1.0), ("params_m", 0.5), ("throughput_ips", 1.0)):
            found = get(service_client, "front", under=f"{name}:{limit}", best=1)
            inside = [
                e.outcome.metric
                for e in trained
                if isinstance(e.outcome, Trained)
                and e.measurement is not None
                and e.measurement.value(name) <= limit
            ]
            assert [m["metric"] for m in found["members"]] == ([max(inside)] if inside else [])
            assert found["under"] == {name: limit}
        both = get(service_client, "front", under=["latency_ms:1", "params_m:100"])
        assert both["members"] == get(service_client, "front", under="latency_ms:1")["members"]

    @pytest.mark.parametrize("under", ["latency:5", "latency_ms", "latency_ms:", "latency_ms:nan"])
    def test_a_wrong_limit_is_one_clear_error(
        self, service_client: TestClient, under: str
    ) -> None:
        answer = service_client.get(f"{STUDY}/front", params={"under": [under, "x:1"]})
        problems = answer.json()["error"]["problems"]
        assert (answer.status_code, len(problems)) == (422, 2)
        assert all("under: " in problem["message"] for problem in problems)

    def test_its_history_ends_with_the_front(self, service_client: TestClient) -> None:
        points = get(service_client, "history")["points"]
        front = get(service_client, "front")
        assert points[-1]["front"] == [member["trial"] for member in front["members"]]
        assert points[-1]["hypervolume"] == pytest.approx(front["hypervolume"])
        volumes = [point["hypervolume"] for point in points]
        assert volumes == sorted(volumes)
        seconds = [point["seconds"] for point in points]
        assert seconds == sorted(seconds)
        assert seconds[0] > 0

    def test_a_training_that_takes_another_ones_place_is_counted_anew(
        self, service_client: TestClient
    ) -> None:
        results = results_of(service_client)
        first, second = final_evaluations(results.evaluations)[:2]
        assert isinstance(first.outcome, Trained)
        worse = replace(first, attempt=1, outcome=replace(first.outcome, metric=0.0))
        every = (first, second, first, worse)
        rows = [tuple(row) for row in losses_of(every, results.objectives).tolist()]
        growth = Growth(results.objectives)
        changed = [growth.add(e, row) for e, row in zip(every, rows, strict=True)]
        assert changed[0]
        assert not changed[2]
        assert list(growth.front) == [second.trial]
        assert growth.counted[first.trial][0] is worse

    def test_the_report_comes_in_a_sandbox(self, tmp_path: Path) -> None:
        paths = recorded_store.write(tmp_path)
        paths.report.write_text("<html>the report</html>")
        with client_of(tmp_path) as client:
            answer = client.get(f"{STUDY}/report")
        assert answer.text == "<html>the report</html>"
        assert answer.headers["Content-Security-Policy"].startswith("sandbox ")

    def test_a_report_that_is_missing_or_old_is_written_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        paths = recorded_store.write(tmp_path)
        with client_of(tmp_path) as client:
            verbs = client.app.state.service.verbs  # type: ignore[attr-defined]

            def write(words: list[str], *, limit_s: float) -> str:
                assert words == ["report", "flowers", "--root", str(tmp_path)]
                paths.report.write_text("new")
                return ""

            monkeypatch.setattr(verbs, "call", write)
            assert client.get(f"{STUDY}/report").text == "new"
            paths.report.write_text("old")
            assert client.get(f"{STUDY}/report").text == "old"
            os.utime(paths.report, (1, 1))
            assert client.get(f"{STUDY}/report").text == "new"

            def fail(words: list[str], *, limit_s: float) -> str:
                raise ArchfrontError("The disk is full.")

            monkeypatch.setattr(verbs, "call", fail)
            os.utime(paths.report, (1, 1))
            assert client.get(f"{STUDY}/report").text == "new"
            paths.report.unlink()
            assert error_of(client, "report") == (400, "refused")
