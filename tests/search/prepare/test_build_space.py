"""Which heads, sizes and recipes a space of backbones has, and why others are left out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from archfront.search.catalog import catalog
from archfront.search.errors import ConfigError
from archfront.search.prepare.build_space import build_space, export_notes
from archfront.search.prepare.select_backbones import select
from archfront.trainers.spec import Recipe, Weights
from tests.support.small_spaces import MIXED, backbone, mixed_space, recipe_config, space_config
from tests.support.space_walk import candidate_of, walk


def test_a_backbone_of_one_size_stays_with_it_or_leaves() -> None:
    sizes = {a.input_size for a in mixed_space().architectures if a.backbone == "vit_fixed"}
    assert sizes == {224}
    without = mixed_space(input_sizes=(32, 64))
    assert without.dropped == ("vit_fixed: not at 32, 64 px: takes 224 px only",)
    assert all(a.backbone != "vit_fixed" for a in without.architectures)


def test_a_backbone_without_any_of_the_heads_leaves() -> None:
    space = mixed_space(heads=("gem",))
    assert space.dropped[0] == "mobile_no_gem: has no head of gem"
    assert all(a.backbone != "mobile_no_gem" for a in space.architectures)


def test_a_space_may_keep_only_what_can_be_exported() -> None:
    rows = [backbone("resnet18"), backbone("resnet34_no_timm_no_avg")]
    config = space_config(heads=("timm", "avg", "gem"), exportable=("hf", "onnx"))
    weights = {row.name: Weights() for row in rows}
    built = build_space(config, rows, weights, task="classification", classes=2, channels=3)
    assert {a.head for a in built.architectures} == {"timm", "avg"}
    assert [axes.backbone.name for axes in built.axes] == ["resnet18"]
    [line] = [line for line in built.dropped if "exportable" in line]
    assert line.startswith("the head gem: space.exportable=hf, and timm cannot rebuild the head")
    with pytest.raises(ConfigError) as caught:
        build_space(config, rows, weights, task="classification", classes=2, channels=1)
    assert str(caught.value) == (
        "space: no head of timm, avg, gem is left: space.exportable=hf, and transformers' image "
        "processors give three channels, and the network takes one; data.channels=3 trains "
        "networks that take three, of gray images too."
    )


@pytest.mark.parametrize(
    ("heads", "channels", "task", "notes"),
    [
        (
            ("timm", "gem", "avg"),
            3,
            "classification",
            [
                "exports   hf takes the heads timm and avg only; "
                "space.exportable='[hf]' keeps the study to that"
            ],
        ),
        (
            ("timm", "gem"),
            1,
            "classification",
            [
                "exports   hf takes none of these candidates: transformers' image processors give "
                "three channels, and the network takes one; data.channels=3 trains networks that "
                "take three, of gray images too"
            ],
        ),
        (("timm", "avg"), 3, "multilabel", []),
        (("yolo",), 3, "detection", []),
    ],
)
def test_a_format_that_takes_some_candidates_only_is_told_before_the_search(
    heads: tuple[str, ...], channels: int, task: str, notes: list[str]
) -> None:
    """An export to hf failed after the search, for candidates of the usual space."""
    assert export_notes(space_config(heads=heads), task, channels) == notes
    asked = space_config(heads=heads, exportable=("hf",))
    assert export_notes(asked, task, channels) == []


def test_what_was_dropped_before_is_named_first() -> None:
    space = build_space(
        space_config(input_sizes=(32,)),
        MIXED,
        {b.name: Weights() for b in MIXED},
        task="classification",
        classes=10,
        channels=3,
        dropped=("resnet_z: no file",),
    )
    assert space.dropped == (
        "resnet_z: no file",
        "vit_fixed: not at 32 px: takes 224 px only",
    )


def test_a_space_of_nothing_says_why() -> None:
    with pytest.raises(
        ConfigError, match=r"is left: vit_fixed: not at 32 px: takes 224 px only\."
    ):
        mixed_space(MIXED[-1:], input_sizes=(32,))


def test_the_grid_of_recipes_has_every_combination_the_last_axis_fastest() -> None:
    recipe = recipe_config(dropout=(0.0, 0.2), batch_size=(32, 64))
    recipes = mixed_space(recipe=recipe).recipes
    assert len(set(recipes)) == len(recipes) == 16
    assert recipes[0] == Recipe(0.001, 0.05, 32, "none", 0.0, False)
    assert recipes[1] == Recipe(0.001, 0.05, 32, "none", 0.2, False)
    assert recipes[-1] == Recipe(0.003, 0.05, 64, "light", 0.2, False)


def test_real_backbones_and_real_heads_make_a_space() -> None:
    config = space_config(
        backbones=("test_*",), heads=("timm", "avg", "gem"), input_sizes=(32, 160)
    )
    rows = select(config)
    space = build_space(
        config,
        rows,
        {row.name: Weights() for row in rows},
        task="classification",
        classes=10,
        channels=1,
    )
    assert {a.backbone for a in space.architectures} >= {"test_resnet", "test_vit"}
    assert len({space.choices(space.at(i))["family"] for i in range(space.size)}) > 5
    for number in range(len(space.architectures)):
        walk(space, space.at(space.first_index(number)))


def test_weights_of_a_folder_have_the_licence_of_their_tag() -> None:
    row = catalog()["vit_base_patch16_clip_224"]
    config = space_config(heads=("timm",), licences=("mit",), weights="folder")
    spaces = {
        tag: build_space(
            config,
            [row, catalog()["resnet18"]],
            {row.name: Weights("folder", tag), "resnet18": Weights()},
            task="classification",
            classes=10,
            channels=3,
        )
        for tag in ("metaclip_2pt5b", "openai")
    }
    assert spaces["metaclip_2pt5b"].dropped[0] == (
        "vit_base_patch16_clip_224: its weights are cc-by-nc-4.0, not of space.licences"
    )
    licence = row.licence("openai")
    assert (row in [a.backbone for a in spaces["openai"].axes]) == (licence == "mit")


def test_the_work_at_an_input_size_is_a_limit() -> None:
    space = mixed_space(macs_g_max=1.0)  # a fifth of the parameters at 224 px
    sizes = {axes.backbone.name: axes.input_sizes for axes in space.axes}
    assert sizes["resnet_a"] == (32, 64)
    assert sizes["mobile_a"] == (32, 64, 224)
    assert "vit_fixed" not in sizes
    assert "resnet_a: not at 224 px: over space.macs_g_max=1" in space.dropped
    macs = {b.name: b for b in MIXED}
    assert all(macs[a.backbone].costs_at(a.input_size).macs_g <= 1 for a in space.architectures)
    for index in range(space.size):
        walk(space, space.at(index))


def test_backbones_with_other_sizes_have_another_axis_of_sizes() -> None:
    space = mixed_space(macs_g_max=1.0)
    asked = {a.backbone: walk(space, candidate_of(space, a.backbone)) for a in space.architectures}
    assert asked["resnet_a"]["input_size@32+64#"] == (0, 1)
    assert asked["mobile_a"]["input_size#"] == (0, 2)


def test_sizes_that_cannot_be_built_are_named_and_left_out() -> None:
    patches = replace(backbone("vit_p"), sizes="img_size", size_step=16, size_min=48)
    space = mixed_space((patches,), input_sizes=(32, 40, 48, 64))
    assert space.axes[0].input_sizes == (48, 64)
    assert space.dropped == ("vit_p: not at 32, 40 px: takes multiples of 16 px from 48 px",)


def test_fusable_backbones_are_fused_wherever_they_are_met() -> None:
    space = mixed_space((replace(backbone("rep"), is_fusable=True), MIXED[0]))
    assert {a.backbone for a in space.architectures if a.fused} == {"rep"}
    for index in range(space.size):
        walk(space, space.at(index))


def test_a_summary_counts_what_there_is_and_what_is_not() -> None:
    summary = mixed_space(macs_g_max=1.0).summary()
    assert summary.backbones == 5
    assert summary.candidates == summary.architectures * summary.recipes
    assert summary.families == 2
    assert summary.params_m == (2.0, 40.0)
    assert summary.macs_g[1] <= 1
    assert summary.left_out == {
        "at some sizes or all: over space.macs_g_max=1": 4,
        "at some sizes or all: takes 224 px only": 1,
    }
