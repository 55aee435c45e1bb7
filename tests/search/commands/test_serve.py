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
    assert not (tmp_path / "service").exists()


def test_every_flag_that_is_wrong_is_told_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--port", "0", "--max-studies", "-1", "--study-threads", "5000", "--tls-key", "no"]
    said = fails(capsys, 2, "serve", "--root", str(tmp_path), *words)
    for flag in ("--port", "--max-studies", "--study-threads", "--tls-key", "--tls-cert"):
        assert f" {flag}: " in said


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
