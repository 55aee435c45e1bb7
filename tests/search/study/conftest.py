"""Studies that several tests read, each run once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.small_study import run, small_config


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return the root of the small study with changes, which tests only read."""
    roots: dict[str, Path] = {}

    def root_of(**changes: Any) -> Path:
        key = json.dumps(changes, sort_keys=True)
        if key not in roots:
            root = tmp_path_factory.mktemp("finished")
            assert run(small_config(root, **changes)).state == "finished"
            roots[key] = root
        return roots[key]

    return root_of
