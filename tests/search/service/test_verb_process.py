"""Commands that the service runs in processes of their own."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from archfront.search.errors import ArchfrontError, ConfigError, RequestError
from archfront.search.records.paths import ROOT_VARIABLE
from archfront.search.service import verb_process
from archfront.search.service.service_settings import ServiceSettings
from archfront.search.service.verb_process import DATABASE_VARIABLE, VerbProcesses
from tests.support.engine_checks import is_running
from tests.support.waiting import eventually

NEVER_S = 60.0
# Complains in the words given, and ends with the status given.
SAY = "import sys; print(sys.argv[1], file=sys.stderr); sys.exit(int(sys.argv[2]))"
SLEEP = (
    "import subprocess, sys, time; "
    "child = subprocess.Popen(['sleep', '600'], start_new_session=True); "
    "open(sys.argv[1], 'w').write(str(child.pid)); time.sleep(600)"
)


@pytest.fixture
def verbs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[VerbProcesses]:
    def command(words: Sequence[str]) -> list[str]:
        return [sys.executable, "-S", "-c", *words]

    monkeypatch.setattr(verb_process, "command", command)
    found = VerbProcesses(ServiceSettings(root=tmp_path, max_commands=1))
    yield found
    found.close()


def test_what_a_command_prints_is_returned(verbs: VerbProcesses, tmp_path: Path) -> None:
    say = "import sys; print('a'); print('b', file=sys.stderr)"
    assert verbs.call([say], limit_s=NEVER_S) == "a\n"
    env = f"import os; print(os.environ['{ROOT_VARIABLE}'], '{DATABASE_VARIABLE}' in os.environ)"
    assert verbs.call([env], limit_s=NEVER_S) == f"{tmp_path} False\n"
    assert verbs.call(["print(input())"], limit_s=NEVER_S, stdin=b"given\n") == "given\n"


def test_its_complaint_is_the_error(verbs: VerbProcesses) -> None:
    with pytest.raises(ArchfrontError, match=r"^No such thing\.\n  - a$"):
        verbs.call([SAY, "noise\narchfront: No such thing.\n  - a", "1"], limit_s=NEVER_S)
    with pytest.raises(ArchfrontError, match="ended with status 3: ValueError"):
        verbs.call([SAY, "ValueError", "3"], limit_s=NEVER_S)


@pytest.mark.parametrize(
    ("said", "problems"),
    [
        ("2 problems in the configuration:\n  1. a: no.\n  2. b: no.", ("a: no.", "b: no.")),
        ("a: no.", ("a: no.",)),
    ],
)
def test_its_problems_are_told_one_by_one(
    verbs: VerbProcesses, said: str, problems: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigError) as caught:
        verbs.call([SAY, f"archfront: {said}", "2"], limit_s=NEVER_S)
    assert caught.value.problems == problems


def test_one_that_takes_too_long_ends_with_its_children(
    verbs: VerbProcesses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "child"

    class Process(subprocess.Popen[bytes]):
        """Takes too long as soon as its child is there."""

        def communicate(self, *words: Any, timeout: float | None = None) -> tuple[bytes, bytes]:
            if timeout is None:
                return super().communicate(*words)
            eventually(lambda: file.is_file() and file.read_text())
            raise subprocess.TimeoutExpired(self.args, timeout)

    monkeypatch.setattr(verb_process.subprocess, "Popen", Process)
    with pytest.raises(RequestError, match="took over 2 s and was ended"):
        verbs.call([SLEEP, str(file)], limit_s=2)
    eventually(lambda: not is_running(int(file.read_text())))


def test_the_end_of_the_server_ends_it(verbs: VerbProcesses, tmp_path: Path) -> None:
    file, errors = tmp_path / "child", []

    def call() -> None:
        try:
            verbs.call([SLEEP, str(file)], limit_s=NEVER_S)
        except ArchfrontError as error:
            errors.append(str(error))

    thread = threading.Thread(target=call)
    thread.start()
    eventually(lambda: file.is_file() and file.read_text())
    verbs.close()
    thread.join()
    assert len(errors) == 1
    eventually(lambda: not is_running(int(file.read_text())))
    with pytest.raises(RequestError, match="is ending"):
        verbs.call(["print()"], limit_s=NEVER_S)


def test_more_than_so_many_wait_for_their_turn(
    verbs: VerbProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verb_process, "TURN_S", 0.0)
    with verbs._turns, pytest.raises(RequestError, match="1 commands are running") as caught:
        verbs.call(["print()"], limit_s=NEVER_S)
    assert (caught.value.status, caught.value.code) == (503, "busy")


def test_only_so_many_may_wait(verbs: VerbProcesses, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each that waits keeps a thread of the server, which then answers nobody."""
    monkeypatch.setattr(verb_process, "TURN_S", NEVER_S)
    with verbs._turns:
        for _ in range(verb_process.MOST_WAITING):
            assert verbs._waiting.acquire(blocking=False)
        with pytest.raises(RequestError, match="1 commands are running"):
            verbs.call(["print()"], limit_s=NEVER_S)
