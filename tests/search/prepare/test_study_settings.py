"""The settings of a study's jobs are resolved from its configuration and its data."""

from __future__ import annotations

from pathlib import Path

import pytest

from archfront.search.engine.jobs import Job
from archfront.search.prepare.study_settings import resolve
from archfront.trainers.dataset_summary import DatasetSummary, SplitSummary
from tests.support.small_study import small_config

DATASET = DatasetSummary(splits={"train": SplitSummary(20, {"a": 4, "b": 16})})


def test_a_training_ends_at_its_rung_and_keeps_the_horizon_of_the_top(tmp_path: Path) -> None:
    settings = resolve(small_config(tmp_path, task__epochs=9, seed=5), DATASET)
    assert settings.rungs == (1, 3, 9)
    low = settings.training(1, 9, "bf16")
    assert (low.until_epoch, low.horizon, low.precision) == (1, 9, "bf16")
    assert settings.training(9, 9, "fp32") == settings.train
    assert (settings.train.seed, settings.train.class_weights) == (5, None)


def test_rare_classes_weigh_more_where_that_is_asked_for(tmp_path: Path) -> None:
    balanced = small_config(tmp_path, task__class_weights="balanced")
    weights = resolve(balanced, DATASET).train.class_weights
    assert weights == pytest.approx((4 / 3, 2 / 3))
    assert resolve(balanced).train.class_weights is None


def test_pixels_of_a_class_count_as_the_images_that_they_fill(tmp_path: Path) -> None:
    assert resolve(small_config(tmp_path), DATASET).train.class_sizes == (4, 16)
    pixels = {"train": SplitSummary(20, {"a": 4000, "b": 16_000})}
    masks = DatasetSummary(splits=pixels, counted="pixels")
    assert resolve(small_config(tmp_path), masks).train.class_sizes == (4, 16)


@pytest.mark.parametrize(
    ("asked", "trained"), [("auto", "fp32"), ("fp32", "fp32"), ("bf16", "bf16")]
)
def test_the_precision_is_fp32_until_it_is_probed(
    tmp_path: Path, asked: str, trained: str
) -> None:
    settings = resolve(small_config(tmp_path, engine__precision=asked), DATASET)
    assert (settings.precision, settings.train.precision) == (asked, trained)


def test_a_job_has_the_time_limit_of_a_trial_if_there_is_one(tmp_path: Path) -> None:
    job = Job("train", None)
    assert resolve(small_config(tmp_path)).limited(job) == job
    limited = resolve(small_config(tmp_path, budget__trial_minutes=2)).limited(job)
    assert limited.timeout_s == 120
    assert limited.timeout_text.startswith("the most that budget.trial_minutes allows")
