"""The streams of events: snapshots, changes, and how a reader goes on after a break."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from fastapi.sse import ServerSentEvent
from starlette.testclient import TestClient

from archfront.search.commands.event_following import read_events
from archfront.search.records.events import (
    EpochFinished,
    EventLog,
    Noticed,
    StudyFinished,
    TrialFinished,
    TrialMeasured,
    TrialPromoted,
    TrialProposed,
    TrialsStopped,
    WeightsFetched,
)
from archfront.search.records.paths import StudyPaths
from archfront.search.service import event_stream, log_reader
from archfront.search.service.bodies import Study
from archfront.search.service.event_stream import (
    StudyFeed,
    list_events,
    study_events,
    study_news,
)
from archfront.search.service.live_study import LiveStudies, LiveStudy
from archfront.search.service.streams import Streams
from tests.support.recorded_study import candidate, measurement
from tests.support.services import client_of

Sent = list[tuple[str, str | None, Any]]


@pytest.fixture
def client(tmp_path: Path, recorded_root: Path) -> Iterator[TestClient]:
    shutil.copytree(recorded_root / "studies", tmp_path / "studies")
    with client_of(tmp_path) as client:
        yield client


@pytest.fixture
def feed(client: TestClient) -> StudyFeed:
    service = client.app.state.service  # type: ignore[attr-defined]
    streams = client.app.state.streams  # type: ignore[attr-defined]
    return StudyFeed(service, "flowers", streams)


@pytest.fixture
def write(tmp_path: Path) -> EventLog:
    return EventLog(StudyPaths(tmp_path, "flowers").events)


async def taken(
    events: AsyncIterator[ServerSentEvent], n: int, *, do: Callable[[int], None] = lambda _: None
) -> Sent:
    """Return so many events of a stream, or all of one that ends, calling ``do`` after each."""
    found: Sent = []
    async for event in events:
        found.append((event.event or "", event.id, json.loads(event.raw_data or "null")))
        do(len(found))
        if len(found) == n:
            break
    await events.aclose()  # type: ignore[attr-defined]
    return found


def sent(feed: StudyFeed, n: int, last: str | None = None, **more: Any) -> Sent:
    do = more.pop("do", lambda _: None)
    return asyncio.run(taken(study_events(feed, last, poll_s=0.001, **more), n, do=do))


def news(feed: StudyFeed, last: str | None = None) -> Sent:
    return asyncio.run(taken(study_news(feed, last), -1))


class TestLiveStudy:
    def test_trials_run_from_their_proposal_to_their_end(
        self, tmp_path: Path, write: EventLog
    ) -> None:
        tmp_path.joinpath("studies/flowers").mkdir(parents=True)
        live = LiveStudy(StudyPaths(tmp_path, "flowers").events)
        assert live.now()[1:] == ([], [])
        of = candidate()
        for trial in range(3):
            write(TrialProposed(trial, of))
        write(TrialMeasured(0, of, measurement(2.5)))
        write(EpochFinished(0, 2, {"accuracy": 0.5}))
        write(WeightsFetched(1, "resnet18", 1.0, 4.0))
        write(TrialsStopped((2,)))
        write(TrialPromoted(7, of, 1))
        write(Noticed("slow"))
        _, running, notices = live.now()
        assert [(r.trial, r.stage, r.label, r.rung) for r in running] == [
            (0, "training", of.label, 0),
            (1, "fetching", of.label, 0),
            (7, "training", of.label, 1),
        ]
        assert (running[0].epoch, running[0].metrics) == (2, {"accuracy": 0.5})
        assert (running[0].latency_ms, running[1].fetched_mb) == (2.5, 1.0)
        assert [notice.message for notice in notices] == ["slow"]
        write(StudyFinished("finished", "done"))
        assert live.now()[1] == []

    def test_a_log_that_begins_anew_is_read_anew(self, tmp_path: Path, write: EventLog) -> None:
        path = StudyPaths(tmp_path, "flowers").events
        path.parent.mkdir(parents=True)
        live = LiveStudies().of(path)
        write(TrialProposed(0, candidate()))
        assert [trial.trial for trial in live.now()[1]] == [0]
        path.unlink()
        write(TrialProposed(1, candidate()))
        assert [trial.trial for trial in live.now()[1]] == [1]

    def test_events_of_another_form_change_nothing(self, tmp_path: Path) -> None:
        path = tmp_path / "events.jsonl"
        events = [
            {"time": 1, "event": "TrialProposed", "trial": 1, "candidate": {"x": 1}},
            {"time": 1, "event": "TrialProposed", "trial": "one"},
            {"time": 1, "event": "TrialMeasured", "trial": 1, "measurement": 3},
            {"time": 1, "event": "TrialsStopped", "trials": None},
            {"event": "TrialProposed", "trial": 2},
            {"time": 1, "event": "Unheard", "trial": 3},
        ]
        path.write_text("".join(f"{json.dumps(event)}\n" for event in events))
        (running,) = LiveStudy(path).now()[1]
        assert (running.trial, running.label, running.latency_ms) == (1, "", None)


class TestStudyEvents:
    def test_a_snapshot_comes_first_and_then_every_change(
        self, feed: StudyFeed, write: EventLog, client: TestClient
    ) -> None:
        write(Noticed("before"))
        last = client.app.state.service.results("flowers").evaluations[-1]  # type: ignore[attr-defined]

        def go_on(place: int) -> None:
            if place == 1:
                write(EpochFinished(3, 1, {"accuracy": float("nan")}))
                write(TrialFinished(last))

        found = sent(feed, 3, do=go_on)
        assert [kind for kind, _, _ in found] == ["snapshot", "change", "change"]
        (_, _, snapshot), (_, _, epoch), (_, _, finished) = found
        assert snapshot["study"]["name"] == "flowers"
        assert snapshot["front"] == client.get("/api/v1/studies/flowers/front").json()
        assert [notice["message"] for notice in snapshot["notices"]] == ["before"]
        assert epoch["event"] == "EpochFinished"
        assert epoch["fields"] == {"trial": 3, "epoch": 1, "metrics": {"accuracy": None}}
        assert (finished["row"]["trial"], finished["fields"]["trial"]) == (last.trial,) * 2
        assert finished["study"]["counts"] == snapshot["study"]["counts"]
        assert finished["front"] is None  # the reader has it

    def test_a_reader_goes_on_after_the_last_event_that_it_has(
        self, feed: StudyFeed, write: EventLog
    ) -> None:
        first = sent(feed, 1)[0]
        for n in range(6):
            write(Noticed(f"{n}"))
        whole = sent(feed, 6, last=first[1])
        assert [change["fields"]["message"] for _, _, change in whole] == list("012345")
        for place, (_, id, _) in enumerate(whole[:-1]):
            assert sent(feed, 5 - place, last=id) == whole[place + 1 :]

    def test_a_reader_that_is_far_behind_gets_a_snapshot(
        self, feed: StudyFeed, write: EventLog, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = sent(feed, 1)[0]
        for _ in range(5):
            write(Noticed("x" * 300))
        monkeypatch.setattr(event_stream, "BEHIND_BYTES", 1000)
        assert [kind for kind, _, _ in sent(feed, 1, last=first[1])] == ["snapshot"]

        def rush(place: int) -> None:
            for _ in range(9 if place == 1 else 0):
                write(Noticed("x" * 300))

        monkeypatch.setattr(log_reader, "N_LINES", 2)
        kinds = [kind for kind, _, _ in sent(feed, 4, do=rush)]
        assert kinds == ["snapshot", "change", "change", "snapshot"]

    @pytest.mark.parametrize("last", ["nonsense", "5-0123456789ab", "999999-new"])
    def test_an_id_of_another_log_is_no_place_of_this_one(
        self, feed: StudyFeed, write: EventLog, last: str
    ) -> None:
        write(Noticed("x"))
        assert sent(feed, 1, last=last)[0][0] == "snapshot"

    def test_the_end_of_a_study_is_told(
        self, feed: StudyFeed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(event_stream, "STATE_S", 0.0)
        monkeypatch.setattr("archfront.search.service.streams.FRESH_S", 0.0)

        def delete(place: int) -> None:
            if place == 1:
                shutil.rmtree(tmp_path / "studies/flowers")

        found = sent(feed, 2, do=delete)
        assert found[1] == ("removed", None, {"name": "flowers"})

    def test_a_stream_ends_so_that_its_token_is_checked_anew(self, feed: StudyFeed) -> None:
        times = iter([0.0, 1.0, 1.0, 1.0, 20.0])
        found = sent(feed, 9, life_s=10.0, clock=lambda: next(times))
        assert [kind for kind, _, _ in found] == ["snapshot"]


class TestStudyNews:
    """What there is to say by now, for readers that ask again and again."""

    def test_it_ends_with_what_happened_since(self, feed: StudyFeed, write: EventLog) -> None:
        ((kind, first, snapshot),) = news(feed)
        assert kind == "snapshot"
        ((kind, again, study),) = news(feed, first)
        assert (kind, again, study) == ("study", first, snapshot["study"])
        for n in range(3):
            write(Noticed(f"{n}"))
        *changes, (kind, last, _) = news(feed, again)
        assert [change["fields"]["message"] for _, _, change in changes] == list("012")
        assert (kind, last) == ("study", changes[-1][1])
        assert [kind for kind, _, _ in news(feed, last)] == ["study"]

    def test_a_reader_that_is_far_behind_gets_a_snapshot(
        self, feed: StudyFeed, write: EventLog, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ((_, first, _),) = news(feed)
        write(Noticed("x" * 300))
        monkeypatch.setattr(event_stream, "BEHIND_BYTES", 100)
        assert [kind for kind, _, _ in news(feed, first)] == ["snapshot"]

    def test_a_study_that_is_gone_is_told(
        self, feed: StudyFeed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("archfront.search.service.streams.FRESH_S", 0.0)
        ((_, first, _),) = news(feed)
        shutil.rmtree(tmp_path / "studies/flowers")
        for last in (first, None):
            assert news(feed, last) == [("removed", None, {"name": "flowers"})]

    def test_an_answer_of_a_route_ends(self, client: TestClient) -> None:
        for path in ("studies/flowers/events", "events"):
            answer = client.get(f"/api/v1/{path}", params={"once": "true"})
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert [event.kind for event in read_events(BytesIO(answer.content))] == ["snapshot"]


class TestListEvents:
    def test_what_changes_of_all_studies_is_told(self) -> None:
        def study(name: str, state: str) -> Study:
            return Study(
                name=name, state=state, reason="", wanted=None, created=None, created_by=""
            )

        looks = iter(
            [
                [study("a", "running"), study("b", "running")],
                [study("a", "running"), study("b", "paused"), study("c", "waiting")],
                [study("c", "waiting")],
            ]
        )
        events = list_events(lambda: next(looks), poll_s=0.0)
        found = asyncio.run(taken(events, 5))
        assert [(kind, content and content["name"]) for kind, _, content in found[1:3]] == [
            ("study", "b"),
            ("study", "c"),
        ]
        assert sorted(content["name"] for _, _, content in found[3:]) == ["a", "b"]
        assert [kind for kind, _, _ in found] == ["snapshot", "study", "study"] + ["removed"] * 2

    def test_all_streams_share_one_look(self, client: TestClient) -> None:
        streams: Streams = client.app.state.streams  # type: ignore[attr-defined]
        first = streams.studies()
        assert [study.name for study in first] == ["flowers"]
        assert streams.studies() is first
        assert streams.study("flowers") == first[0]
        assert streams.study("flowers") is streams.study("flowers")
        assert streams.study("roses") is None


def test_a_study_that_is_not_there_has_no_stream(client: TestClient) -> None:
    answer = client.get("/api/v1/studies/roses/events")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "no_such_study")


def test_only_so_many_streams_are_open(client: TestClient) -> None:
    streams: Streams = client.app.state.streams  # type: ignore[attr-defined]
    for _ in range(100):
        streams.take()
    answer = client.get("/api/v1/events")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "too_many_streams")
    streams.give_back()
    assert client.get("/api/v1/studies/roses/events").status_code == 404
    streams.take()  # the one before gave its place back
