"""``archfront serve``: its words and the errors before it serves."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.support.command import fails


def test_a_port_that_is_taken_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        said = fails(capsys, 2, "serve", "--root", str(tmp_path), "--port", str(port))
    assert said.startswith(f"--host 127.0.0.1 --port {port}: the address cannot be used")
    assert f"Give another port, as --port {port + 1}." in said
    assert not (tmp_path / "service").exists()


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("nohost.invalid", "no host has this name"),
        ("192.0.2.1", "this machine has no such address"),
    ],
)
def test_a_host_that_is_not_here_is_told(
    host: str,
    reason: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_host(*given: object, **more: object) -> None:
        raise socket.gaierror(-2, "unknown")

    if host.endswith(".invalid"):  # asks no name server
        monkeypatch.setattr(socket, "getaddrinfo", no_host)
    said = fails(capsys, 2, "serve", "--root", str(tmp_path), "--host", host)
    assert f"{reason}. Give an address of this machine" in said
    assert "another port" not in said


def test_a_database_that_is_not_there_is_told_by_its_flag(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pg8000")
    url = "postgresql+pg8000://me:secret@127.0.0.1:9/db"
    for flag in ("--storage-url", "--database"):
        monkeypatch.delenv("ARCHFRONT_DATABASE_URL", raising=False)
        words = ["--root", str(tmp_path), "--port", str(free_port()), flag, url]
        said = fails(capsys, 1, "serve", *words)
        assert f"The URL is that of {flag} or ARCHFRONT_" in said
        assert "timeout is" not in said
        assert "secret" not in said


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def test_every_flag_that_is_wrong_is_told_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--port", "0", "--max-studies", "-1", "--study-threads", "5000", "--tls-key", "no"]
    # Folders and addresses were told about when these were right.
    words += ["--data-root", "nowhere", "--root-path", "x", "--mlflow-page", "y"]
    said = fails(capsys, 2, "serve", "--root", str(tmp_path / "new"), *words)
    for flag in ("--data-root", "--root-path", "--mlflow-page"):
        assert f" {flag} " in said
    assert not (tmp_path / "new").exists()
    for flag in ("--port", "--max-studies", "--study-threads", "--tls-key", "--tls-cert"):
        assert f" {flag}: " in said


def test_an_address_that_is_taken_is_told_with_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        words = ["--port", str(port), "--max-studies", "0", "--data-root", "nowhere"]
        said = fails(capsys, 2, "serve", "--root", str(tmp_path / "new"), *words)
    for told in ("--max-studies: ", "--data-root ", f"--port {port}: the address"):
        assert told in said
    assert not (tmp_path / "new").exists()


def test_a_root_that_is_a_file_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    words = ["--root", str(tmp_path / "file"), "--port", str(free_port())]
    assert "this is no folder. Give another one." in fails(capsys, 2, "serve", *words)


def test_a_certificate_that_is_none_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).write_text("nonsense")
    files = ["--tls-cert", str(tmp_path / "cert.pem"), "--tls-key", str(tmp_path / "key.pem")]
    said = fails(capsys, 2, "serve", "--root", str(tmp_path), *files)
    assert "are no certificate in PEM with its key, without a password" in said


def test_folders_that_are_not_there_are_told_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--root", str(tmp_path / "a/b"), "--data-root", str(tmp_path / "c")]
    said = fails(capsys, 2, "serve", *words, "--no-auth", "--host", "0.0.0.0")
    for flag in ("--root", "--data-root", "--no-auth"):
        assert f"{flag} " in said
