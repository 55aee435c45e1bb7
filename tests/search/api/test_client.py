"""A server of archfront serve from a program and from the command line."""

from __future__ import annotations

import inspect
import io
import json
import shutil
import zipfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse
from PIL import Image

import archfront as af
from archfront.search.api.client import RemoteStudy
from archfront.search.api.remote_files import image_bytes
from archfront.search.api.study_handle import Study
from archfront.search.cli import main
from archfront.search.commands import event_following, server_connection
from archfront.search.commands.event_following import read_events
from archfront.search.commands.remote_run import asked_body
from archfront.search.commands.server_connection import ServerConnection
from archfront.search.errors import (
    ArtifactError,
    ConfigError,
    RequestError,
    ServiceError,
    StudyStoppedError,
)
from archfront.search.records.events import EventLog, Noticed
from archfront.search.records.paths import StudyPaths
from archfront.search.service.app import create_app
from archfront.search.service.service_settings import ServiceSettings
from archfront.search.service.state import Service
from archfront.trainers.data.image_files import PixelLimit
from archfront.trainers.data.images import pixels_in, to_pixels
from tests.support import recorded_store
from tests.support.command import Output
from tests.support.live_server import answering


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FastAPI]:
    """Return a service over a finished study, which starts no studies or tasks by itself."""
    root = tmp_path_factory.mktemp("served")
    recorded_store.write(root)
    (root / "data").mkdir()
    patch = pytest.MonkeyPatch()
    patch.setattr(Service, "start", lambda self: None)
    yield create_app(ServiceSettings(root=root, data_roots=(root / "data",)))
    patch.undo()


@pytest.fixture(scope="module")
def url(app: FastAPI) -> Iterator[str]:
    with answering(app) as url:
        yield url


@pytest.fixture
def token(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> str:
    token: str = app.state.service.tokens.first(anew=True)
    monkeypatch.setenv("ARCHFRONT_TOKEN", token)
    return token


@pytest.fixture
def server(url: str, token: str) -> af.Client:
    return af.Client(url)


class TestClient:
    def test_a_study_has_what_the_local_one_has(self, server: af.Client, app: FastAPI) -> None:
        study = server.open("flowers")
        local = af.open("flowers", root=app.state.service.settings.root)
        assert study.state == local.state == "finished"
        columns = list(local.front)
        assert study.front[columns].to_dict("records") == local.front.to_dict("records")
        assert len(study.trials) == 24
        (best,) = study.front_under(best=1, latency_ms=1.0).to_dict("records")
        assert best["latency_ms"] <= 1.0
        assert study.wait(quiet=True) is study
        assert [event.kind for event in study.events()] == ["snapshot"]
        assert "finished" in study._repr_html_()
        names = [study.name for study in server.studies()]
        assert "flowers" in names

    def test_a_report_comes_here(self, server: af.Client, app: FastAPI) -> None:
        StudyPaths(app.state.service.settings.root, "flowers").report.write_text("<html>")
        study = server.open("flowers")
        assert study.report.read_text() == "<html>"
        folder = study.report.parent
        del study
        assert not folder.exists()

    def test_errors_are_those_of_the_server(
        self, server: af.Client, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(RequestError, match="There is no study 'roses'"):
            server.open("roses")
        with pytest.raises(ConfigError, match=r"budget\.minutes") as caught:
            server.run(
                "study=x", "experiment=digits", {"budget.minutes": -1, "tracking.root": "/tmp"}
            )
        assert len(caught.value.problems) == 2
        with pytest.raises(RequestError, match=r"has no such token: .* Put one into"):
            af.Client(url, "wrong").studies()
        with pytest.raises(ServiceError, match=r"cannot be reached: .*Is archfront serve running"):
            af.Client("http://127.0.0.1:9").studies()
        for wrong in (
            "ftp://x",
            "http://",
            "http://h:1/?q",
            "notaurl",
            "h:8000",
            "http://h:x",
            "",
        ):
            with pytest.raises(ConfigError, match="address of a server is needed"):
                af.Client(wrong)

    def test_a_study_is_made_paused_and_waited_for(self, server: af.Client) -> None:
        study = server.run("study=digits", "experiment=digits", {"budget.trials": 2}, start=False)
        assert study.info["config"]["budget"]["trials"] == 2
        assert study.state == "paused"
        with pytest.raises(StudyStoppedError, match="'digits' is paused"):
            study.wait(quiet=True)
        study.extend(trials=3)
        study.resume()
        assert study.state == "waiting"
        study.pause()
        assert study.state in ("pausing", "paused")
        study.cancel()

    def test_an_archive_becomes_a_dataset(self, server: af.Client, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            archive.writestr("x/1.png", b"1")
        root = server.upload("pictures", tmp_path / "a.zip")
        assert (Path(root) / "1.png").read_bytes() == b"1"
        assert [row["name"] for row in server.datasets()] == ["pictures"]

    def test_an_export_comes_here(
        self, server: af.Client, app: FastAPI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        service: Service = app.state.service
        for trial in range(24):
            folder = service.paths("flowers").folder / f"trials/{trial}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "weights.safetensors").touch()

        def end(seconds: float) -> None:
            (row,) = service.tasks.rows.listed(states=["waiting"])
            folder = Path(row.command[row.command.index("--out") + 1])
            folder.mkdir(parents=True)
            (folder / "manifest.json").write_text('{"trial": 1}')
            service.tasks.rows.claim(row, "me", 0.0)
            service.tasks.rows.change(row.id, "me", state="finished")

        monkeypatch.setattr("archfront.search.api.client.time.sleep", end)
        study = server.open("flowers")
        (tmp_path / "full").mkdir()
        (tmp_path / "full/mine").touch()
        with pytest.raises(ArtifactError, match="holds other files"):
            study.export(tmp_path / "full")
        out = study.export(tmp_path / "out", member="best", format="onnx", proxy=True)
        with pytest.raises(ArtifactError, match="holds an export"):
            study.export(out)
        assert study.export(out, member="best", proxy=True, overwrite=True, quiet=True) == out
        assert [file.name for file in out.iterdir()] == ["manifest.json"]
        monkeypatch.setattr(service.verbs, "call", lambda words, limit_s: '{"image": 1, "a": 2}')
        assert study.predict(b"image") == {"a": 2}
        assert study.predict([b"image", np.zeros((4, 4), np.uint8)]) == [{"a": 2}] * 2
        shutil.rmtree(out)

    def test_full_trainings_are_a_table(
        self, server: af.Client, app: FastAPI, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        service: Service = app.state.service

        def end(seconds: float) -> None:
            (row,) = service.tasks.rows.listed(states=["waiting"])
            asked.extend(row.command)
            service.tasks.rows.claim(row, "me", 0.0)
            service.tasks.rows.change(row.id, "me", state="failed", message="no disk")

        asked: list[str] = []
        monkeypatch.setattr("archfront.search.api.client.time.sleep", end)
        with pytest.raises(ArtifactError, match="refit of 'flowers' failed: no disk"):
            server.open("flowers").refit(members=["knee", "best"], epochs=7)
        assert asked[asked.index("--members") + 1] == "knee,best"
        assert asked[asked.index("--epochs") + 1] == "7"
        with pytest.raises(ConfigError, match="seeds"):
            server.open("flowers").refit(seeds=0)
        with pytest.raises(ConfigError, match="batch: a whole number or None is needed; got 't'"):
            server.open("flowers").export("out", batch="t")
        with pytest.raises(TypeError, match=r"'formt'\. Did you mean 'format'"):
            server.open("flowers").export("out", formt="onnx")

    @pytest.mark.parametrize("name", ["export", "refit"])
    def test_a_call_takes_what_the_local_one_takes(self, name: str) -> None:
        local = dict(inspect.signature(getattr(Study, name)).parameters)
        local.pop("mlflow_uri", None)
        remote = inspect.signature(getattr(RemoteStudy, name)).parameters
        assert list(remote.items()) == list(local.items())

    def test_files_that_are_not_here_are_told(self, server: af.Client, tmp_path: Path) -> None:
        study = server.open("flowers")
        with pytest.raises(ArtifactError, match=r"no image .*nope\.jpg"):
            study.predict("/nope.jpg")
        with pytest.raises(ArtifactError, match=r"no image .*nope\.jpg on this machine\. Give"):
            study.predict(["/nope.jpg"])
        with pytest.raises(ConfigError, match="images: an image is a path"):
            study.predict(None)
        with pytest.raises(ArtifactError, match=r"no archive nofile\.zip on this machine\. Give"):
            server.upload("x", "nofile.zip")
        with pytest.raises(ArtifactError, match="cannot be read"):
            server.upload("x", tmp_path)

    def test_the_token_goes_nowhere_else(self, token: str) -> None:
        other, seen = FastAPI(), []

        @other.get("/api/v1/studies")
        def _() -> RedirectResponse:
            return RedirectResponse("/elsewhere")

        @other.get("/elsewhere")
        def _(request: Request) -> None:
            seen.append(request.headers)

        with answering(other) as url, pytest.raises(RequestError, match="It leads elsewhere"):
            af.Client(url).studies()
        assert seen == []
        assert token not in repr(af.Client(url))


class TestEvents:
    def test_a_stream_that_breaks_goes_on_behind_the_last_event(
        self, url: str, token: str, app: FastAPI, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write = EventLog(StudyPaths(app.state.service.settings.root, "flowers").events)
        monkeypatch.setattr(event_following, "RETRY_S", 0.0)
        opened = []

        def broken(answer: Any) -> Any:
            """Let each answer break after its second event."""
            opened.append(answer)
            yield from islice(read_events(answer), 2)
            raise ConnectionResetError

        monkeypatch.setattr(server_connection, "read_events", broken)
        lost: list[int] = []
        events = ServerConnection(url).events(
            "studies", "flowers", "events", lost=lambda: lost.append(1)
        )
        assert next(events).kind == "snapshot"
        for n in range(5):
            write(Noticed(f"{n}"))
        changes = (event.content for event in events if event.kind == "change")
        assert [next(changes)["fields"]["message"] for _ in range(5)] == list("01234")
        assert len(opened) >= 3
        assert len(lost) >= 2
        changes.close()
        events.close()

    def test_a_stream_that_comes_is_read_to_its_end(
        self, url: str, token: str, app: FastAPI, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write = EventLog(StudyPaths(app.state.service.settings.root, "flowers").events)
        asked: list[Any] = []
        opened = ServerConnection._open

        def noted(connection: ServerConnection, *given: Any, **more: Any) -> Any:
            asked.append(given[2])
            return opened(connection, *given, **more)

        monkeypatch.setattr(ServerConnection, "_open", noted)
        events = ServerConnection(url).events("studies", "flowers", "events")
        assert next(events).kind == "snapshot"
        for message in "01":
            write(Noticed(message))
            assert next(events).content["fields"]["message"] == message
        assert asked == [{"once": "true"}, {}]
        events.close()

    def test_the_lines_of_a_stream(self) -> None:
        text = ": ping\n\nevent: study\ndata: {\ndata: }\nid: 7\n\ndata: 1\nretry: 5\n\ndata: 2\n"
        found = list(read_events(io.BytesIO(text.encode())))
        assert [(e.kind, e.id, e.content) for e in found] == [
            ("study", "7", {}),
            ("message", "", 1),
        ]


class TestCommands:
    def test_a_finished_study_is_told_at_once(self, url: str, token: str, capsys: Output) -> None:
        assert main(["watch", "flowers", "--server", url]) == 0
        said = capsys.readouterr().out
        assert said.startswith("flowers: finished (16 trials trained): 16 trained, 6 rejected")

    def test_a_server_that_is_not_there_is_told_at_once(self, capsys: Output) -> None:
        for words in (["watch", "flowers"], ["run", "study=x"]):
            assert main([*words, "--server", "http://127.0.0.1:9"]) == 1
            assert "cannot be reached" in (said := capsys.readouterr().err)
            assert "Is archfront serve running there?" in said
            assert main([*words, "--server", "notaurl"]) == 2
            assert "'notaurl': the address of a server is needed" in capsys.readouterr().err

    def test_a_connection_that_is_lost_is_told_and_made_again(
        self, capsys: Output, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(event_following, "RETRY_S", 0.0)
        study = {"name": "x", "counts": {}, "reason": "", "state": "running"}
        ends = {**study, "state": "finished"}
        answers: list[Any] = [
            io.BytesIO(f"event: snapshot\ndata: {json.dumps({'study': study})}\n\n".encode()),
            ServiceError("refused"),
            ServiceError("refused"),
            io.BytesIO(f"event: study\ndata: {json.dumps(ends)}\n\n".encode()),
        ]

        def opened(*given: Any, **more: Any) -> Any:
            if isinstance(answer := answers.pop(0), Exception):
                raise answer
            return answer

        monkeypatch.setattr(ServerConnection, "_open", opened)
        assert main(["watch", "x", "--server", "http://h"]) == 0
        said = capsys.readouterr()
        assert (said.out + said.err).count("no connection, trying again") == 1
        assert "x: finished" in said.out

    def test_a_study_is_made_by_the_words_of_run(
        self, url: str, token: str, capsys: Output, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("ARCHFRONT_TOKEN")
        (file := tmp_path / "token").write_text(token + "\n")
        flags = ["--server", url, "--token-file", str(file), "--detach"]
        assert main(["run", "study=made", "experiment=digits", "budget.trials=1", *flags]) == 0
        assert capsys.readouterr().out == "made\n"
        assert af.Client(url, token).open("made").info["wanted"] == "run"
        assert main(["run", "study=made", "experiment=digits", *flags]) == 1
        assert "There is a study 'made' already" in capsys.readouterr().err
        assert (
            main(["run", "study=x", "experiment=digits", "budget.minutes=x", "x=1", *flags]) == 2
        )
        assert "2 problems" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (
                ["study=x", "--server", "http://h", "--cfg", "job"],
                "--cfg: it goes with a study here",
            ),
            (["study=x", "--detach"], "--detach: it goes with --server"),
            (["experiment=digits", "--server", "http://h"], "study: a server needs the name"),
            (["study", "--server", "http://h"], "'study': group=name or option=value is needed"),
            (["study=x", "--server", "http://h", "--token-file", "/none"], "it cannot be read"),
        ],
    )
    def test_wrong_words_are_told_before_a_server_is_asked(
        self, words: list[str], said: str, capsys: Output
    ) -> None:
        assert main(["run", *words]) == 2
        assert said in capsys.readouterr().err

    def test_words_become_choices_and_options(self) -> None:
        body = asked_body(["study=a", "data=folder", "data.root=/x=y", "space.heads=a,b"])
        assert body == {
            "name": "a",
            "choices": {"data": "folder"},
            "options": {"data.root": "/x=y", "space.heads": "a,b"},
        }
        assert json.dumps(body)


@pytest.mark.parametrize("mode", ["L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "RGBX", "I", "I;16"])
def test_an_image_is_sent_as_it_is_seen_here(mode: str) -> None:
    """A photo of a phone was sent lying on its side, one in the colors of a print not at all."""
    values = np.random.default_rng(0).integers(0, 256, (6, 10, 3), np.uint8)
    image = Image.fromarray(values).convert("L" if mode.startswith("I") else "RGB").convert(mode)
    image.getexif()[0x0112] = 6  # a quarter turn
    assert np.array_equal(pixels_in(image_bytes(image), PixelLimit()), to_pixels(image))
    assert to_pixels(image).shape[:2] == (10, 6)
