"""What the records of a study say of the nodes of a cluster."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from archfront.search.engine.inline import InlineEngine
from archfront.search.engine.jobs import Job, Result
from archfront.search.records.evaluation import Evaluation
from archfront.search.report.plot_data import hover_text
from tests.support.small_study import perform, run, small_config
from tests.support.study_engines import results


class Spread(InlineEngine):
    """An engine whose results come from two nodes, one for each kind of job."""

    def __init__(self) -> None:
        super().__init__(perform, workers=1, threads=1)

    def _run(self, job: Job, on_event: Any) -> Result:
        node = "pi" if job.is_exclusive else "tower"
        return replace(super()._run(job, on_event), node=node)


def test_an_evaluation_names_the_nodes_of_its_training_and_its_measurement(tmp_path: Path) -> None:
    config = small_config(tmp_path, **{"task__epochs": 4, "budget__rungs": [2, 4]})
    run(config, engine=Spread())
    found = results(tmp_path)
    trained = [e for e in found.evaluations if e.kind == "trained"]
    assert {e.rung for e in trained} == {0, 1}
    assert {(e.trained_on, e.measured_on) for e in trained} == {("tower", "pi")}
    assert {(row["trained_on"], row["measured_on"]) for row in found.rows()} == {("tower", "pi")}
    assert "trained on tower, measured on pi" in hover_text(trained[0], "accuracy")
    here = replace(trained[0], trained_on=None, measured_on=None)
    assert "trained on" not in hover_text(here, "accuracy")
    assert not {"trained_on", "measured_on"} & set(here.as_dict())  # as before there were nodes
    assert Evaluation.from_dict(trained[0].as_dict()) == trained[0]
