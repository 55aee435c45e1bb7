"""The kills of benchmarks/kills.py come when they are drawn, and what they change is seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from kills import Command, check, moment, whole_lines

from archfront.search.records.paths import StudyPaths
from tests.support import recorded_store


def command(root: Path) -> Command:
    return Command(StudyPaths(root, "flowers"), 2, "inline")


def test_a_journal_counts_up_to_its_last_whole_line(tmp_path: Path) -> None:
    journal = tmp_path / "optuna.journal"
    assert whole_lines(journal) == b""
    journal.write_bytes(b'{"a": 1}\n{"b": 2}\n{"c"')
    assert whole_lines(journal) == b'{"a": 1}\n{"b": 2}\n'


@pytest.mark.parametrize(("kind", "event"), [("log", "TrialProposed"), ("end", "StudyFinished")])
def test_a_kill_waits_for_its_event(tmp_path: Path, kind: str, event: str) -> None:
    paths = command(tmp_path).paths
    paths.folder.mkdir(parents=True)
    waits = moment(kind, np.random.default_rng(0), command(tmp_path))
    assert next(waits) == next(waits) == 0.01
    paths.events.write_text(f'{{"event": "{event}"}}\n' * 12 + '{"event": "to')
    assert next(waits) <= 2
    assert list(waits) == []


def test_a_kill_at_the_start_comes_within_two_seconds(tmp_path: Path) -> None:
    [wait] = moment("start", np.random.default_rng(0), command(tmp_path))
    assert 0 <= wait <= 2


def test_a_changed_record_is_seen(tmp_path: Path) -> None:
    paths = recorded_store.write(tmp_path)
    before = whole_lines(paths.journal)
    changed = before.replace(b"0", b"1", 1)
    with pytest.raises(AssertionError, match="a record was changed"):
        check(Command(paths, 2, "inline"), changed, [])
    with pytest.raises(AssertionError, match=r"report\.html is missing|state|trials"):
        check(Command(paths, 2, "inline"), before, [])
