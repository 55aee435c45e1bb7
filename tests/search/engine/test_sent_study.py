"""A study whose jobs see none of its folders, by the calls that a node answers."""

from __future__ import annotations

from concurrent.futures import Future
from itertools import count
from pathlib import Path
from typing import Any

from archfront.search.engine.file_transfer import bring, first_of_each, inputs_of, send
from archfront.search.engine.inline import InlineEngine
from archfront.search.engine.jobs import Job, OnEvent, Result, finished
from tests.support import small_study
from tests.support.file_nodes import Node
from tests.support.study_engines import results, story


class Away(InlineEngine):
    """An engine whose jobs run in this process, with folders of their own."""

    def __init__(self, home: Path, root: Path) -> None:
        super().__init__(small_study.perform, workers=1, threads=1)
        self.node, self.root, self.numbers = Node(home, root), root, count(1)

    def submit(self, job: Job, on_event: OnEvent | None = None) -> Future[Result]:
        node, number = self.node, next(self.numbers)
        given = inputs_of(job.payload, self.root)
        send(node, number, first_of_each(given))
        moved = node("begin", number, job, [entry for _, entry in given])
        assert str(self.root) not in str(moved.payload)
        result, entries = node("end", number, super().submit(moved, on_event).result())
        bring(node, number, entries, self.root).put()
        node("release", number)
        return finished(result)

    def close(self) -> None:
        super().close()
        self.node.files.close()


def files(root: Path) -> set[str]:
    """Return the files of the study's trials."""
    trials = root / "studies" / "small" / "trials"
    return {str(file.relative_to(trials)) for file in trials.rglob("*")}


def test_a_study_has_the_same_records_and_files_as_on_one_machine(tmp_path: Path) -> None:
    """Its trainings go on from states, and its members are scored and drawn by their files."""
    options: dict[str, Any] = {"budget__rungs": [1, 3], "budget__trials": 3, "task__epochs": 3}
    there, here = tmp_path / "there", tmp_path / "here"
    with Away(tmp_path / "home", there) as away:
        first = small_study.run(small_study.small_config(there, **options), engine=away)
        assert list(away.node.files._cache.work.glob("job-*")) == []
    second = small_study.run(small_study.small_config(here, **options))
    assert first == second
    told = [story(results(root).evaluations) for root in (there, here)]
    assert told[0] == told[1]
    assert len({trial for trial, *_ in told[0]}) >= 3
    assert files(there) == files(here)
    assert any(name.endswith("gallery.png") for name in files(there))
    assert away.node.calls["receive"] > 3
