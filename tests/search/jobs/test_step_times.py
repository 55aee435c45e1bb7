"""Epochs follow from a candidate's own training steps where all trainings take equally long."""

from __future__ import annotations

from dataclasses import replace

import pytest

from archfront.search.engine.worker import events_to
from archfront.search.jobs import step_times
from archfront.search.jobs.step_times import OwnSteps, StepsRequest, StepTimes
from archfront.search.records.candidate import Candidate
from archfront.search.records.events import Noticed
from archfront.search.records.plan import Plan
from archfront.trainers.spec import Architecture, Recipe, TrainSettings, Weights

RECIPE = Recipe(lr=1e-3, weight_decay=0.05, batch_size=8, augment="none", dropout=0.0)
CANDIDATE = Candidate(
    Architecture("classification", "test_resnet", "timm", 16, 10, 1), Weights(), RECIPE
)
# A full training takes 24 epochs of one unit of work, and such an image .01 s in a step.
OWN = OwnSteps(Plan((4, 15, 60), work=0.4, epoch_s=1.0), 0.01, CANDIDATE)
PLANNED = TrainSettings("accuracy", 5, 60, 7, 0.1, "cosine", "fp32", 1)


@pytest.mark.parametrize(
    ("image_s", "epochs"), [(0.004, (4, 60)), (0.01, (2, 24)), (0.04, (1, 6)), (1.0, (1, 3))]
)
def test_epochs_follow_from_the_seconds_of_an_image(
    image_s: float, epochs: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[StepsRequest] = []

    def steps(request: StepsRequest) -> StepTimes:
        asked.append(request)
        return StepTimes("fp32", image_s)

    monkeypatch.setattr(step_times, "steps", steps)
    fitted = OWN.fitted(PLANNED)
    assert (fitted.until_epoch, fitted.horizon) == epochs
    assert replace(fitted, until_epoch=5, horizon=60) == PLANNED
    OWN.fitted(replace(PLANNED, precision="bf16"))
    assert [one.compares_precisions for one in asked] == [False, True]
    assert {one.candidate.recipe.batch_size for one in asked} == {8}


def test_where_no_step_can_be_timed_the_planned_epochs_stay_and_it_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def steps(request: StepsRequest) -> StepTimes:
        raise RuntimeError("CUDA out of memory.")

    monkeypatch.setattr(step_times, "steps", steps)
    events: list[object] = []
    with events_to(events.append):
        assert OWN.fitted(PLANNED) == PLANNED
    (event,) = events
    assert isinstance(event, Noticed)
    assert "test_resnet@16" in event.message
    assert "CUDA out of memory" in event.message


def test_steps_are_timed_in_earnest() -> None:
    fitted = OWN.fitted(PLANNED)
    assert 1 <= fitted.until_epoch < fitted.horizon <= 60
