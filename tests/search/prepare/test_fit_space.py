"""The options of a space that are auto are decided by its task and its data, and recorded."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from archfront.search.config.build import build
from archfront.search.config.schema import Config
from archfront.search.errors import ConfigError
from archfront.search.prepare.fit_space import as_chosen, fit_space
from archfront.search.prepare.prepare import prepare
from archfront.search.prepare.recipe_grids import recipe_grids
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
from archfront.trainers.tasks import TASKS
from tests.support.configurations import changed
from tests.support.recorded_study import REFERENCE
from tests.support.small_spaces import recipe_config, space_config
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


@pytest.mark.parametrize("task", list(TASKS))
@pytest.mark.parametrize("is_transfer", [True, False])
@pytest.mark.parametrize("n_train", [100, 1000, 10_000])
def test_every_grid_of_recipes_is_a_valid_one_and_small(
    task: str, is_transfer: bool, n_train: int
) -> None:
    grids = asdict(recipe_grids(task, is_transfer=is_transfer, n_train=n_train))
    leaves = {f"space__recipe__{axis}": list(values) for axis, values in grids.items()}
    assert asdict(build(changed(**leaves)).space.recipe) == grids
    assert 2 <= math.prod(len(values) for values in grids.values()) <= 4
    assert grids["augment"] == ("light_if_long",)


def test_fine_tuning_takes_smaller_steps_than_training_from_scratch() -> None:
    for task in TASKS:
        tuned = recipe_grids(task, is_transfer=True, n_train=5000).lr
        scratch = recipe_grids(task, is_transfer=False, n_train=5000).lr
        assert max(tuned) < max(scratch)
        assert min(tuned) < min(scratch)


def test_few_images_have_small_batches_from_scratch() -> None:
    batches = {
        n: recipe_grids("classification", is_transfer=False, n_train=n).batch_size
        for n in (100, 1000, 10_000)
    }
    assert batches == {100: (16,), 1000: (16, 32), 10_000: (32, 64)}


def test_a_recipe_may_be_open_in_some_axes_only() -> None:
    recipe = recipe_config(lr=(0.01,), batch_size="auto", freeze="auto")
    config = space_config(recipe=recipe, weights="pretrained")
    fitted = fit_space(config, "classification", images(500))
    assert fitted.config.recipe == replace(recipe, batch_size=(32,), freeze=(False,))
    assert fitted.chosen == {"recipe.batch_size": (32,), "recipe.freeze": (False,)}
    assert fitted.notes == ("recipes   batch size 32: for fine-tuning",)


def digits(root: Path, **changes: Any) -> Config:
    """Return the small study of two tiny networks on digits of 8 px, with open sizes."""
    backbones = ["test_resnet", "test_byobnet"]
    return small_config(
        root,
        space__backbones=backbones,
        space__input_sizes="auto",
        budget__trials=1,
        hardware__max_seconds=0.1,
        **changes,
    )


def test_axes_of_the_recipe_are_those_that_were_chosen(tmp_path: Path) -> None:
    prepared = prepare(digits(tmp_path, space__recipe__lr="auto", space__recipe__dropout="auto"))
    header = prepared.header(started=0.0, reference=REFERENCE, precision="fp32")
    assert header.recipe_axes == ["lr"]
    assert {recipe.lr for recipe in prepared.space.recipes} == {1e-3, 3e-3}


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
    kept = prepare(as_chosen(config, {"input_sizes": (8, 16), "recipe.lr": (0.5,)}))
    assert {a.input_size for a in kept.space.architectures} == {8, 16}
    assert {recipe.lr for recipe in kept.space.recipes} == {0.5}


@pytest.mark.slow
def test_a_study_with_open_sizes_goes_on(tmp_path: Path) -> None:
    config = digits(tmp_path)
    assert run(config).state == "finished"
    more = replace(config, budget=replace(config.budget, trials=2))
    assert run(more).state == "finished"
    assert run(more).was_finished
