"""A damaged journal is one clear error, which says what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from archfront.search.errors import StudyError
from archfront.search.records.objectives import objectives_for
from archfront.search.records.paths import StudyPaths
from archfront.search.records.store import driving, reading
from tests.support import recorded_store

GOALS = list(objectives_for("accuracy"))
REMEDY = r"Restore the file from a copy\. Without one: "


@pytest.fixture
def paths(tmp_path: Path) -> StudyPaths:
    return recorded_store.write(tmp_path)


def refused(paths: StudyPaths, match: str) -> None:
    """Check that a journal can be neither read nor driven, with one message."""
    with pytest.raises(StudyError, match=match) as shown:
        reading(paths, None)
    assert "\n" not in str(shown.value)
    with pytest.raises(StudyError, match=match), driving(paths, None, GOALS):
        pass


def change(paths: StudyPaths, key: str, value: Any) -> None:
    """Give every content with a key another value for it."""

    def changed(node: Any) -> Any:
        if isinstance(node, dict):
            return {k: value if k == key else changed(v) for k, v in node.items()}
        return [changed(v) for v in node] if isinstance(node, list) else node

    lines = map(json.loads, paths.journal.read_text().splitlines())
    paths.journal.write_text("".join(f"{json.dumps(changed(line))}\n" for line in lines))


def empty(paths: StudyPaths) -> None:
    paths.journal.write_bytes(b"")


@pytest.mark.parametrize("damage", [empty, lambda paths: paths.journal.unlink()])
def test_a_journal_without_content_is_no_new_study(
    paths: StudyPaths, damage: Callable[[StudyPaths], None]
) -> None:
    """A run began another study over the files of the first one."""
    damage(paths)
    refused(paths, rf"damaged: the file is empty, and there are files of .*{REMEDY}'archfront del")


def test_a_journal_that_lost_its_end_names_the_trials(paths: StudyPaths) -> None:
    """A run made the trials again, under the numbers of others' files."""
    lines = paths.journal.read_bytes().splitlines(keepends=True)
    for number in range(24):
        paths.trial(number, 0).mkdir()
    paths.journal.write_bytes(b"".join(lines[: len(lines) // 2]))
    refused(
        paths, rf"damaged: the end is lost: \d+ trials in the file, .*{REMEDY}remove these fol"
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("archfront:header", 5),
        ("config", []),
        ("task", 3),
        ("rungs", 7),
        ("version", "new"),
        ("evaluation:0:0", [1]),
        ("outcome", {"kind": "trained"}),
        ("metrics", [0.5]),
        ("archfront:state", 1),
        ("op_code", 77),
        ("trial_id", {}),
    ],
)
def test_content_of_another_form_is_named(paths: StudyPaths, key: str, value: Any) -> None:
    change(paths, key, value)
    refused(paths, r"damaged: their content is not as it was|header of the study cannot be read")
