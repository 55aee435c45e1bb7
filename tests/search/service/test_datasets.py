"""Datasets over HTTP: folders of the server, uploads, and profiles."""

from __future__ import annotations

import errno
import io
import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from archfront.search import cli
from archfront.search.service import dataset_calls
from archfront.search.service.state import Service
from archfront.search.service.study_rows import StudyRows
from archfront.search.service.task_rows import TASKS
from tests.support.services import client_of


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    for name in ("data/flowers", "elsewhere"):
        (tmp_path / name).mkdir(parents=True)
    data = (tmp_path / "data",)
    with client_of(tmp_path / "root", data_roots=data, max_upload_mb=1) as client:
        yield client


def service_of(client: TestClient) -> Service:
    service: Service = client.app.state.service  # type: ignore[attr-defined]
    return service


def zip_of(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, b"image")
    return file.getvalue()


def upload(client: TestClient, content: Any, name: str = "roses") -> Any:
    return client.post("/api/v1/datasets/upload", params={"name": name}, content=content)


def error_of(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


class TestFolders:
    def test_one_within_the_folders_of_data_is_taken(
        self, client: TestClient, tmp_path: Path
    ) -> None:
        body = {"name": "flowers", "root": str(tmp_path / "data/flowers")}
        made = client.post("/api/v1/datasets", json=body)
        assert (made.status_code, made.json()["origin"]) == (201, "server")
        assert client.get("/api/v1/datasets").json() == [made.json()]
        assert client.get("/api/v1/datasets/flowers").json() == made.json()
        assert error_of(client.post("/api/v1/datasets", json=body)) == (409, "dataset_exists")
        assert client.delete("/api/v1/datasets/flowers").status_code == 204
        assert (tmp_path / "data/flowers").is_dir()
        assert error_of(client.get("/api/v1/datasets/flowers")) == (404, "no_such_dataset")

    def test_others_are_refused(self, client: TestClient, tmp_path: Path) -> None:
        (tmp_path / "data/link").symlink_to(tmp_path / "elsewhere")
        (tmp_path / "data/loop").symlink_to(tmp_path / "data/loop")
        places = ("elsewhere", "data/../elsewhere", "data/link", "data/loop", "data/x\0y", "")
        for place in (*(str(tmp_path / place) for place in places), "/", "flowers", "~"):
            answer = client.post("/api/v1/datasets", json={"name": "x", "root": place})
            assert error_of(answer) == (422, "foreign_folder"), place
        body = {"name": "x", "root": str(tmp_path / "data/none")}
        assert error_of(client.post("/api/v1/datasets", json=body)) == (422, "no_such_folder")
        for name in ("../x", ".hidden", "", "x" * 61, "a/b"):
            body = {"name": name, "root": str(tmp_path / "data/flowers")}
            assert error_of(client.post("/api/v1/datasets", json=body)) == (422, "bad_request")
        assert client.get("/api/v1/datasets").json() == []


class TestUploads:
    def test_an_archive_becomes_a_dataset_and_goes_with_it(
        self, client: TestClient, tmp_path: Path
    ) -> None:
        made = upload(client, zip_of("roses/red/1.png", "roses/white/2.png"))
        assert (made.status_code, made.json()["n_files"]) == (201, 2)
        root = Path(made.json()["root"])
        assert root == tmp_path / "root/datasets/roses/roses"
        assert (root / "red/1.png").read_bytes() == b"image"
        assert service_of(client).settings.holds(root)
        again = upload(client, zip_of("a.png"))
        assert error_of(again) == (409, "dataset_exists")
        assert client.delete("/api/v1/datasets/roses").status_code == 204
        assert not root.exists()
        assert left(tmp_path) == []

    def test_of_a_refused_one_nothing_is_left(self, client: TestClient, tmp_path: Path) -> None:
        answer = upload(client, zip_of("a", "../evil"))
        assert error_of(answer) == (422, "bad_archive")
        assert "leads out of it" in answer.json()["error"]["message"]
        chunks = (b"x" * 300_000 for _ in range(5))
        assert error_of(upload(client, chunks)) == (413, "too_large")
        for name in ("..", "a/b", "", ".incoming"):
            assert error_of(upload(client, zip_of("a.png"), name)) == (422, "bad_request")
        assert left(tmp_path) == []
        assert client.get("/api/v1/datasets").json() == []

    def test_one_without_an_image_and_a_form_are_refused(
        self, client: TestClient, tmp_path: Path
    ) -> None:
        answer = upload(client, zip_of("x/readme.txt", "x/.hidden.png"))
        assert error_of(answer) == (422, "no_images")
        said = answer.json()["error"]["message"]
        assert "It has 2 files: '.hidden.png', 'readme.txt'." in said
        assert ".jpeg, .jpg" in said
        files = {"file": ("ok.zip", zip_of("a.png"))}
        for path in ("datasets/upload?name=x", "studies/flowers/predictions"):
            answer = client.post(f"/api/v1/{path}", files=files)
            assert error_of(answer) == (415, "form")
            assert "--data-binary @" in answer.json()["error"]["message"]
        assert left(tmp_path) == []

    def test_what_unpacks_it_knows_nothing_of_the_server(
        self, client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The password of the database was in the environment of what reads the archive."""
        (tmp_path / "modules").mkdir()
        said = tmp_path / "said"
        note = f"import os; open({str(said)!r}, 'w').write(repr(dict(os.environ)))"
        (tmp_path / "modules/sitecustomize.py").write_text(note)
        paths = f"{tmp_path / 'modules'}:{os.environ.get('PYTHONPATH', '')}"
        monkeypatch.setenv("PYTHONPATH", paths)
        monkeypatch.setenv("ARCHFRONT_STORAGE_URL", "postgresql://a:secret@host/db")
        assert upload(client, zip_of("a.png")).status_code == 201
        assert "secret" not in said.read_text()
        assert "modules" in said.read_text()

    @pytest.mark.parametrize(
        ("number", "status", "said"),
        [
            (errno.ENOTEMPTY, 409, "There is a dataset 'roses' already"),
            (errno.ENOTDIR, 409, "There is a dataset 'roses' already"),
            (errno.ENOSPC, 507, "The disk is full. Free space"),
            (errno.EROFS, 507, "The file system is read-only."),
            (errno.EACCES, 507, "The server may not write there."),
            (errno.EXDEV, 507, ".incoming in it is on another file system."),
            (errno.ELOOP, 507, os.strerror(errno.ELOOP)),
        ],
    )
    def test_why_one_is_not_kept_is_told(
        self,
        client: TestClient,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        number: int,
        status: int,
        said: str,
    ) -> None:
        """Whatever was wrong with the disk, a dataset of this name was said to be there."""

        def rename(path: Path, target: Path) -> Path:
            if path.name == "data":
                raise OSError(number, os.strerror(number))
            return original(path, target)

        original = Path.rename
        monkeypatch.setattr(Path, "rename", rename)
        answer = upload(client, zip_of("a.png"))
        assert answer.status_code == status
        assert said in answer.json()["error"]["message"]
        assert left(tmp_path) == []

    def test_a_folder_that_may_not_be_written_to_is_told(
        self, client: TestClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def no_folder(path: Path, *_: object, **__: object) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(Path, "mkdir", no_folder)
        assert error_of(upload(client, zip_of("a.png"))) == (507, "machine")

    def test_only_so_many_come_in_at_once(self, client: TestClient) -> None:
        turns = service_of(client).datasets._turns
        for _ in range(dataset_calls.MOST_UPLOADS):
            assert turns.acquire(blocking=False)
        assert error_of(upload(client, zip_of("a.png"))) == (503, "busy")

    def test_a_full_disk_takes_none(
        self, client: TestClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dataset_calls, "FREE_BYTES", 1 << 62)
        assert error_of(upload(client, zip_of("a.png"))) == (507, "machine")

    def test_one_that_a_study_uses_stays(self, client: TestClient) -> None:
        root = upload(client, zip_of("a.png")).json()["root"]
        rows = StudyRows(service_of(client).database)
        rows.add("s", {"data": {"root": root}}, command="")
        assert error_of(client.delete("/api/v1/datasets/roses")) == (409, "dataset_in_use")
        assert Path(root).is_dir()

    @pytest.mark.parametrize("option", ["root", "annotations"])
    def test_one_that_a_task_of_a_study_reads_stays(self, client: TestClient, option: str) -> None:
        """The images of a full training were deleted while it ran."""
        root = upload(client, zip_of("a.png")).json()["root"]
        service = service_of(client)
        rows = StudyRows(service.database)
        rows.add("s", {"data": {option: root}}, wanted="pause")
        rows.add("t", {"data": {}}, wanted="pause")
        service.tasks.add("refit", "s", ["refit", "s"])
        service.tasks.add("refit", "t", ["refit", "t"])
        answer = client.delete("/api/v1/datasets/roses")
        assert error_of(answer) == (409, "dataset_in_use")
        said = answer.json()["error"]["message"]
        assert said == (
            "The study 's' uses the dataset 'roses'. Cancel its task refit first, or wait for "
            "its end."
        )
        (task,) = service.tasks.rows.listed(subject="s")
        service.tasks.cancel(task.id)
        assert client.delete("/api/v1/datasets/roses").status_code == 204
        assert not Path(root).exists()


def left(tmp_path: Path) -> list[Path]:
    """Return what lies in the folder of uploads."""
    folder = tmp_path / "root/datasets"
    return [path for path in folder.rglob("*") if path.name != dataset_calls.INCOMING]


class TestProfiles:
    def test_a_profile_is_made_and_shown(self, client: TestClient, tmp_path: Path) -> None:
        body = {"name": "flowers", "root": str(tmp_path / "data/flowers")}
        client.post("/api/v1/datasets", json=body)
        assert error_of(client.get("/api/v1/datasets/flowers/profile")) == (404, "no_profile")
        choices = {"task": "classification", "data": "folder"}
        asked = {"choices": choices, "options": {"data.val": 0.15}}
        task = client.post("/api/v1/datasets/flowers/profile", json=asked)
        assert task.status_code == 202, task.text
        service, id = service_of(client), task.json()["id"]
        words = service.tasks.rows.get(id).command
        arguments = cli._parser("profile").parse_args(words[1:])
        assert set(arguments.words) == {
            "task=classification",
            "data=folder",
            "data.val=0.15",
            f"data.root={tmp_path / 'data/flowers'}",
        }
        folder = service.tasks.folder(id)
        assert arguments.html == folder / "profile.html"
        folder.mkdir(parents=True)
        (folder / "printed").write_text(json.dumps({"n": 1}))
        (folder / "profile.html").write_text("<html>")
        with service.database.begin() as connection:
            connection.execute(TASKS.update().values(state="finished"))
        assert client.get("/api/v1/datasets/flowers/profile").json() == {"n": 1}
        page = client.get("/api/v1/datasets/flowers/profile.html")
        assert page.headers["Content-Security-Policy"].startswith("sandbox ")

    def test_another_dataset_of_the_name_has_none(self, client: TestClient) -> None:
        """An upload showed what a deleted one of its name was like."""
        service, address = service_of(client), "/api/v1/datasets/roses"
        folders = []
        for state in ("finished", "waiting"):
            upload(client, zip_of("a.png"))
            row = service.tasks.add("profile", "roses", ["profile"])
            folders.append(service.tasks.folder(row.id))
            folders[-1].mkdir(parents=True)
            (folders[-1] / "printed").write_text(json.dumps({"n": 1}))
            with service.database.begin() as connection:
                connection.execute(TASKS.update().values(state=state))
            assert client.get(f"{address}/profile").is_success == (state == "finished")
            assert client.delete(address).status_code == 204
        upload(client, zip_of("b.png"))
        assert error_of(client.get(f"{address}/profile")) == (404, "no_profile")
        assert [folder.exists() for folder in folders] == [False, True]
        (row,) = service.tasks.rows.listed(subject="roses")
        assert row.state == "cancelled"  # until the server that runs it has ended its process

    def test_options_that_a_request_may_not_set_are_refused(
        self, client: TestClient, tmp_path: Path
    ) -> None:
        body = {"name": "flowers", "root": str(tmp_path / "data/flowers")}
        client.post("/api/v1/datasets", json=body)
        options = {"tracking.root": "/tmp", "data.annotations": "/etc/passwd", "data.x": 1}
        answer = client.post("/api/v1/datasets/flowers/profile", json={"options": options})
        assert answer.status_code == 422
        assert len(answer.json()["error"]["problems"]) == 3

    def test_the_data_of_a_study_may_have_none(self, service_client: TestClient) -> None:
        answer = service_client.get("/api/v1/studies/flowers/profile")
        assert error_of(answer) == (404, "no_profile")
