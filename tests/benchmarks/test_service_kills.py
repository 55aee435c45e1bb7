"""The requests and the searches for processes of benchmarks/service_kills.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from kills import Command
from service_kills import asked_for, drivers, of_studies

from archfront.search.config import compose
from archfront.search.config.build import build
from archfront.search.records.paths import ROOT_VARIABLE, StudyPaths
from archfront.search.service.service_settings import ServiceSettings
from archfront.search.service.study_requests import asked_study


def test_a_request_is_equal_to_the_command_that_is_checked(tmp_path: Path) -> None:
    command = Command(StudyPaths(tmp_path, "study-0"), 3, "processes")
    asked = asked_for(command)
    found = asked_study(
        ServiceSettings(root=tmp_path), asked["name"], asked["choices"], asked["options"]
    ).config
    composed = compose.compose(command.words[1:-1])
    wanted = build(composed.content, texts=composed.texts)
    assert found.identity() == wanted.identity()
    assert (found.budget, found.engine) == (wanted.budget, wanted.engine)


def test_processes_of_studies_are_found_by_their_root(tmp_path: Path) -> None:
    words = [sys.executable, "-S", "-c", "import time; print(1, flush=True); time.sleep(600)"]
    for more, n_drivers in (([], 0), (["--plain"], 1)):
        with subprocess.Popen(
            [*words, *more], env={ROOT_VARIABLE: str(tmp_path)}, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            assert [p.pid for p in of_studies(tmp_path)] == [process.pid]
            assert len(drivers(tmp_path)) == n_drivers
            process.kill()
    assert of_studies(tmp_path) == []
