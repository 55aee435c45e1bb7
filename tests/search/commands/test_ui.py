"""MLflow's page is served on the database of a root, whatever the root is called."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.request import urlopen

import pytest

from archfront.search.cli import main
from archfront.search.tracking import mlflow_server
from tests.support.mlflow_template import template


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def database(root: Path, shared: Path) -> Path:
    root.mkdir()
    shutil.copyfile(template(shared), root / "mlflow.db")
    return root


def test_the_server_gets_the_root_as_it_is_now(
    tmp_path: Path,
    shared: Path,
    port: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A root with a question mark had no page, and uploads went to the working folder."""
    root = database(tmp_path / "what? 100%", shared)
    given: list[tuple[str, str, tuple[str, int]]] = []

    def serve(uri: str, artifacts: str, at: socket.socket, answers: Callable[[], None]) -> None:
        with at:
            given.append((uri, artifacts, at.getsockname()))
        assert "http" not in capsys.readouterr().out  # it does not answer yet
        answers()

    monkeypatch.setattr(mlflow_server, "serve", serve)
    assert main(["ui", "--root", str(root), "--port", str(port)]) == 0
    [(uri, artifacts, address)] = given
    assert uri.startswith("sqlite+pysqlite:////")
    assert uri.endswith("/what%3F 100%25/mlflow.db")
    assert (artifacts, address) == ((root / "artifacts").as_uri(), ("127.0.0.1", port))
    assert f": http://127.0.0.1:{port}  (Ctrl-C ends it)" in capsys.readouterr().out


def test_the_database_of_a_team_is_found_in_the_environment(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a command line everyone on the machine would see its password."""
    given: list[str] = []

    def serve(uri: str, artifacts: str, at: socket.socket, answers: Callable[[], None]) -> None:
        at.close()
        given.append(uri)
        answers()

    url = "postgresql+pg8000://me:secret@host:5432/team"
    monkeypatch.setattr(mlflow_server, "serve", serve)
    monkeypatch.setenv("ARCHFRONT_STORAGE_URL", url)
    words = ["ui", "--root", str(tmp_path), "--port", str(port)]
    assert main(words) == 0
    assert main([*words, "--mlflow-uri", "http://store"]) == 0
    assert given == [url, "http://store"]
    assert "secret" not in capsys.readouterr().out
    monkeypatch.setenv("ARCHFRONT_STORAGE_URL", "sqlite:///other.db")
    assert main(words) != 0  # whose records are of Optuna alone


def test_an_address_in_use_is_told_before_mlflow_is_imported(
    tmp_path: Path, shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = database(tmp_path / "root", shared)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["ui", "--root", str(root), "--port", str(port)]) != 0
    said = capsys.readouterr().err
    assert f"--host 127.0.0.1 --port {port}: the address cannot be used: " in said
    assert f"--port {port + 1}." in said
    assert main(["ui", "--root", str(root), "--host", "no.such.host.invalid"]) != 0
    assert "--host no.such.host.invalid --port 5000: the address cannot" in capsys.readouterr().err


@pytest.mark.slow
def test_the_page_is_there_when_its_address_is_printed_and_nothing_else_is(
    tmp_path: Path, shared: Path, port: int
) -> None:
    """MLflow printed a notice, and the address was printed seconds before it answered."""
    root = database(tmp_path / "root", shared)
    words = ["ui", "--root", str(root), "--port", str(port)]
    with subprocess.Popen(
        [sys.executable, "-m", "archfront.search.cli", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(2)]
            assert f"http://127.0.0.1:{port}" in lines[1], lines
            with urlopen(f"http://127.0.0.1:{port}/") as page:
                assert b"<title>MLflow</title>" in page.read()
            asked = f"http://127.0.0.1:{port}/api/2.0/mlflow/experiments/get?experiment_id=0"
            with urlopen(asked) as answer:
                assert b'"Default"' in answer.read()
        finally:
            process.send_signal(signal.SIGINT)
            rest, said = process.communicate(timeout=60)
    assert (rest, said, process.returncode) == ("", "", 0)
