"""Exports over HTTP: listed, downloaded, removed, and asked for predictions."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient

from archfront.search.errors import ArchfrontError
from archfront.search.service.export_files import export_folder, file_name
from archfront.search.service.routers import export_routes
from archfront.search.service.state import Service
from tests.support.services import client_of
from tests.support.shared_exports import SharedExports

STUDY = "/api/v1/studies/flowers"


@pytest.fixture
def client(recorded_root: Path, tmp_path: Path) -> Iterator[TestClient]:
    shutil.copytree(recorded_root / "studies", tmp_path / "studies")
    for trial in range(20):
        file = tmp_path / f"studies/flowers/trials/{trial}/weights.safetensors"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    with client_of(tmp_path, max_upload_mb=100) as client:
        yield client


def service_of(client: TestClient) -> Service:
    service: Service = client.app.state.service  # type: ignore[attr-defined]
    return service


@pytest.fixture
def made(client: TestClient) -> tuple[str, Path]:
    """Return the id and the folder of an export, as a task leaves one."""
    id = client.post(f"{STUDY}/exports", json={"formats": ["onnx"], "proxy": True}).json()["id"]
    folder = export_folder(service_of(client).settings, "flowers", id)
    (folder / "onnx").mkdir(parents=True)
    (folder / "onnx/model.onnx").write_bytes(b"weights" * 50_000)
    (folder / "hf").mkdir()
    (folder / "hf/model.safetensors").write_bytes(b"w")
    (folder / "manifest.json").write_text(json.dumps({"trial": 4}))
    return id, folder


def png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(file, "PNG")
    return file.getvalue()


def error_of(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_an_export_is_downloaded_whole_or_by_format(
    client: TestClient, made: tuple[str, Path]
) -> None:
    id, folder = made
    secret = folder.parent / "secret"
    secret.write_text("secret")
    (folder / "link").symlink_to(secret)
    answer = client.get(f"{STUDY}/exports/{id}/download")
    disposition = answer.headers["content-disposition"]
    assert disposition == 'attachment; filename="flowers-trial-4.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        top = "flowers-trial-4"
        names = ["hf/model.safetensors", "manifest.json", "onnx/model.onnx"]
        assert sorted(archive.namelist()) == [f"{top}/{name}" for name in names]
        assert archive.read(f"{top}/onnx/model.onnx") == b"weights" * 50_000
    answer = client.get(f"{STUDY}/exports/{id}/download", params={"format": "onnx"})
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert sorted(Path(name).name for name in archive.namelist()) == [
            "manifest.json",
            "model.onnx",
        ]
    lacking = client.get(f"{STUDY}/exports/{id}/download", params={"format": "openvino"})
    assert error_of(lacking) == (404, "no_such_format")


@pytest.mark.parametrize("id", ["%2e%2e%2fx", "0" * 16, "0" * 15 + "g", "%00"])
def test_an_id_of_no_export_is_refused(client: TestClient, id: str) -> None:
    for method, path in (("GET", f"{id}/download"), ("DELETE", id)):
        answer = client.request(method, f"{STUDY}/exports/{path}")
        assert answer.status_code in (404, 405), path
        assert "error" in answer.json()


def test_exports_are_listed_and_removed(client: TestClient, made: tuple[str, Path]) -> None:
    id, folder = made
    found = client.get(f"{STUDY}/exports").json()
    assert [task["id"] for task in found["tasks"]] == [id]
    assert found["artifacts"] == []
    assert client.delete(f"{STUDY}/exports/{id}").status_code == 204
    assert not folder.exists()
    assert client.get(f"{STUDY}/exports").json()["tasks"] == []
    assert service_of(client).tasks.rows.get(id).state == "cancelled"
    assert error_of(client.delete("/api/v1/studies/roses/exports/" + id))[0] == 404


def test_weights_that_are_not_there_are_told_before_a_task_begins(client: TestClient) -> None:
    answer = client.post(f"{STUDY}/exports", json={"member": "knee"})
    assert error_of(answer) == (409, "not_refitted")
    said = answer.json()["error"]["message"]
    assert "POST /api/v1/studies/flowers/refit" in said
    assert '"proxy": true' in said
    assert "--" not in said
    several = client.post(f"{STUDY}/exports", json={"member": "all", "proxy": True})
    assert error_of(several) == (422, "bad_request")
    shutil.rmtree(service_of(client).paths("flowers").folder / "trials")
    answer = client.post(f"{STUDY}/exports", json={"proxy": True})
    assert error_of(answer) == (409, "no_weights")
    assert client.get("/api/v1/tasks").json() == []
    assert client.post(f"{STUDY}/refit", json={}).status_code == 202
    assert client.post(f"{STUDY}/exports", json={}).status_code == 202


def test_a_download_has_a_name_that_every_system_takes() -> None:
    assert file_name('a"b\r\n', "../x", "") == "a_b_-.._x"
    assert file_name("...") == "export"
    assert len(file_name("x" * 900)) == 100


class TestPredictions:
    def test_the_latest_export_answers(
        self, client: TestClient, made: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[list[str]] = []

        def call(words: list[str], *, limit_s: float) -> str:
            asked.append(words)
            assert Path(words[2]).read_bytes() == png()
            return json.dumps({"image": words[2], "label": "rose", "score": 0.9})

        monkeypatch.setattr(service_of(client).verbs, "call", call)
        query = {"format": "onnx", "min_score": 0.5}
        answer = client.post(f"{STUDY}/predictions", content=png(), params=query)
        assert answer.json() == {"label": "rose", "score": 0.9}
        (words,) = asked
        assert words[:2] == ["predict", str(made[1])]
        assert words[3:] == ["--json", "--format", "onnx", "--min-score", "0.5"]
        assert not Path(words[2]).exists()

    def test_what_cannot_be_answered_is_told(
        self, client: TestClient, made: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def call(words: list[str], *, limit_s: float) -> str:
            raise ArchfrontError(f"{words[2]}: it is no image.")

        monkeypatch.setattr(service_of(client).verbs, "call", call)
        answer = client.post(f"{STUDY}/predictions", content=b"x")
        assert error_of(answer) == (422, "no_prediction")
        assert answer.json()["error"]["message"] == "the image: it is no image."
        monkeypatch.setattr(export_routes, "IMAGE_BYTES", 3)
        assert error_of(client.post(f"{STUDY}/predictions", content=png())) == (413, "too_large")
        other = client.post(f"{STUDY}/predictions", params={"export": "0" * 16}, content=png())
        assert error_of(other) == (404, "no_such_export")
        shutil.rmtree(made[1])
        assert error_of(client.post(f"{STUDY}/predictions", content=b"")) == (409, "no_export")
        assert not list(service_of(client).settings.folder.glob("image-*"))

    @pytest.mark.slow
    def test_an_export_answers_in_a_process_of_its_own(
        self, client: TestClient, made: tuple[str, Path], exports: SharedExports
    ) -> None:
        shutil.rmtree(made[1])
        shutil.copytree(exports.served("classification"), made[1])
        answer = client.post(f"{STUDY}/predictions", content=png(), params={"format": "onnx"})
        assert answer.status_code == 200, answer.text
        assert 0 <= answer.json()["score"] <= 1
        answer = client.post(f"{STUDY}/predictions", content=b"no image")
        assert error_of(answer) == (422, "no_prediction")
        assert "/" not in answer.json()["error"]["message"].replace("image/", "")
