"""The browser of the tests that need a real one, and the studies that they look at."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import launched


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Give a browser to the tests of a file; each opens a page that shares nothing with others."""
    with launched() as browser:
        yield browser


@pytest.fixture
def root(recorded_root: Path, tmp_path: Path) -> Path:
    """Return a root with a copy of the recorded study, for a server of its own."""
    shutil.copytree(recorded_root / "studies", tmp_path / "root/studies")
    return tmp_path / "root"
