"""Where tests of configurations work."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder, without the variables of whoever runs the tests."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.delenv("ARCHFRONT_ROOT", raising=False)
    monkeypatch.delenv("ARCHFRONT_DEVICE_DB", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
