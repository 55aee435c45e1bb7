"""MLflow's server is started on the database of a root, whatever the root is called."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from archfront.search.cli import main
from tests.support.mlflow_template import template


def test_the_server_gets_the_root_as_it_is_now(
    tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A root with a question mark had no page, and uploads went to the working folder."""
    root = tmp_path / "what? 100%"
    root.mkdir()
    shutil.copyfile(template(shared), root / "mlflow.db")
    started: list[tuple[list[str], dict[str, str]]] = []
    monkeypatch.setattr(os, "execve", lambda _, words, env: started.append((words, env)))
    main(["ui", "--root", str(root), "--port", "5999"])
    [(words, environment)] = started
    uri = words[words.index("--backend-store-uri") + 1]
    assert uri == words[words.index("--registry-store-uri") + 1]
    assert uri.startswith("sqlite+pysqlite:////")
    assert uri.endswith("/what%3F 100%25/mlflow.db")
    assert words[words.index("--artifacts-destination") + 1] == (root / "artifacts").as_uri()
    assert words[words.index("--port") + 1] == "5999"
    assert environment["PYTHONWARNINGS"] == "ignore"
    assert environment["MLFLOW_DISABLE_TELEMETRY"] == "true"
