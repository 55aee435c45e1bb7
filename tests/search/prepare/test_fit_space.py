"""The options of a space that are auto are decided by its task and its data, and recorded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from archfront.search.config.schema import Config
from archfront.search.errors import ConfigError
from archfront.search.prepare.fit_space import as_chosen, fit_space
from archfront.search.prepare.prepare import prepare
from archfront.search.records.header import StudyHeader
from archfront.search.study.study import run
from archfront.trainers.dataset_summary import (
    LONGER_SIDE,
    DatasetSummary,
    ObjectSummary,
    SideShare,
    SplitSummary,
    Spread,
)
from tests.support.recorded_study import REFERENCE
from tests.support.small_spaces import space_config
from tests.support.small_study import small_config


def images(longest: int, *, p10: float | None = None, n_train: int = 2000) -> DatasetSummary:
    """Return the summary of images of a side, with objects whose small ones have a share of it."""
    objects = None if p10 is None else ObjectSummary(Spread(1, 2, 3), SideShare(p10, 0.5, 0.9))
    return DatasetSummary(
        splits={"train": SplitSummary(n_train), "val": SplitSummary(10)},
        objects=objects,
        sizes={LONGER_SIDE: Spread(longest, longest, longest)},
    )


def test_sizes_that_are_given_stay() -> None:
    config = space_config(input_sizes=(48,))
    fitted = fit_space(config, "classification", images(500))
    assert (fitted.config, fitted.chosen, fitted.notes) == (config, {}, ())


@pytest.mark.parametrize(
    ("weights", "sizes"), [("none", (16, 24, 32)), ("pretrained", (64, 96, 128))]
)
def test_sizes_depend_on_the_images_and_on_weights(weights: str, sizes: tuple[int, ...]) -> None:
    config = space_config(input_sizes="auto", weights=weights)
    fitted = fit_space(config, "multilabel", images(32))
    assert fitted.config == replace(config, input_sizes=sizes)
    assert fitted.chosen == {"input_sizes": sizes}
    assert fitted.notes[0].startswith(f"sizes     {', '.join(map(str, sizes))} px: the images'")


def test_without_images_those_of_a_usual_size_are_assumed() -> None:
    fitted = fit_space(space_config(input_sizes="auto"), "classification")
    assert fitted.chosen == {"input_sizes": (112, 160, 224)}
    assert fitted.notes == ("sizes     112, 160, 224 px: without images to ask",)


def test_the_finest_stride_of_the_heads_decides_how_small_objects_may_become() -> None:
    config = space_config(input_sizes="auto", heads=("yolo",))
    fitted = fit_space(config, "detection", images(640, p10=0.025))
    assert fitted.config.input_sizes == (320, 416, 512)


def test_a_head_that_takes_larger_inputs_only_is_left_out_and_named() -> None:
    config = space_config(input_sizes="auto", heads=("unet", "pan"))
    fitted = fit_space(config, "semantic", images(96))
    assert fitted.config.heads == ("unet",)
    assert fitted.notes[1] == (
        "left out  the head pan: takes multiples of 32 of at least 128; got 32, 64, 96"
    )
    with pytest.raises(ConfigError, match=r"auto gives 32, 64, 96 px.*no head takes that: pan"):
        fit_space(replace(config, heads=("pan",)), "semantic", images(96))


def digits(root: Path, **changes: Any) -> Config:
    """Return the small study of two tiny networks on digits of 8 px, with open sizes."""
    backbones = ["test_resnet", "test_byobnet"]
    return small_config(
        root, space__backbones=backbones, space__input_sizes="auto", budget__trials=1, **changes
    )


def test_what_was_chosen_is_stored_and_a_resumed_study_keeps_it(tmp_path: Path) -> None:
    config = digits(tmp_path)
    prepared = prepare(config)
    assert prepared.chosen == {"input_sizes": (8,)}
    header = prepared.header(started=0.0, reference=REFERENCE, precision="fp32")
    assert header.identity["space"]["input_sizes"] == "auto"
    assert header.space.notes[0].startswith("sizes     8 px: the images' longer side is 8 px")
    again = StudyHeader.from_dict(header.as_dict())
    assert again == header
    # As if another version chose otherwise: the study's own choice stays.
    kept = as_chosen(config, {"input_sizes": (8, 16)})
    assert {a.input_size for a in prepare(kept).space.architectures} == {8, 16}


@pytest.mark.slow
def test_a_study_with_open_sizes_goes_on(tmp_path: Path) -> None:
    config = digits(tmp_path)
    assert run(config).state == "finished"
    more = replace(config, budget=replace(config.budget, trials=2))
    assert run(more).state == "finished"
    assert run(more).was_finished
