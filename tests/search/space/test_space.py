"""The space is finite, counted, and reached whole by index and by suggestion."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archfront.search.catalog import catalog
from archfront.search.errors import ConfigError
from archfront.search.prepare.build_space import build_space, export_notes
from archfront.search.prepare.select_backbones import select, selection
from archfront.search.records.candidate import Candidate
from archfront.search.records.codec import decode
from archfront.search.space.space import Space
from archfront.trainers.spec import Recipe, Weights
from tests.support.small_spaces import (
    MIXED,
    backbone,
    large_space,
    lone_space,
    mixed_space,
    recipe_config,
    space_config,
)


class Answers:
    """Answers from a mapping, and notes what was asked."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers
        self.asked: dict[str, Any] = {}

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        self.asked[name] = tuple(choices)
        assert self.answers[name] in choices
        return self.answers[name]

    def suggest_int(self, name: str, low: int, high: int) -> int:
        self.asked[name] = (low, high)
        assert low <= self.answers[name] <= high
        return int(self.answers[name])


def walk(space: Space, candidate: Candidate) -> dict[str, Any]:
    """Return the axes that a candidate has, with what each of them allows."""
    trial = Answers(space.choices(candidate))
    assert space.suggest(trial) == candidate
    assert trial.asked.keys() == trial.answers.keys()
    return trial.asked


# ------------------------------------------------------------------ size, index


def test_the_size_is_the_sum_of_products() -> None:
    space = mixed_space()
    architectures = 4 * 2 * 3 + 1 * 1 * 3 + 1 * 2 * 1
    assert len(space.architectures) == architectures
    assert len(space.recipes) == 2 * 2
    assert space.size == architectures * 4


@pytest.mark.parametrize("space", [mixed_space(), lone_space()], ids=["mixed", "lone"])
def test_every_index_has_its_own_candidate_and_back(space: Space) -> None:
    candidates = [space.at(i) for i in range(space.size)]
    assert len({c.id for c in candidates}) == space.size
    assert [space.index(c) for c in candidates] == list(range(space.size))
    numbers = [space.architecture_number(c.architecture) for c in candidates]
    assert numbers == [i // len(space.recipes) for i in range(space.size)]
    assert space.architecture_of(range(space.size)).tolist() == numbers
    firsts = [space.first_index(number) for number in range(len(space.architectures))]
    assert firsts == [numbers.index(number) for number in range(len(space.architectures))]


def test_the_features_of_architectures_are_those_of_their_first_candidates() -> None:
    space = mixed_space()
    firsts = space.features([space.first_index(n) for n in range(len(space.architectures))])
    every = space.architecture_features()
    np.testing.assert_array_equal(every.numeric, firsts.numeric)
    np.testing.assert_array_equal(every.categorical, firsts.categorical)
    some = space.architecture_features(np.array([5, 2]))
    np.testing.assert_array_equal(some.numeric, firsts.numeric[[5, 2]])


def test_a_candidate_read_from_a_record_has_its_index() -> None:
    space = mixed_space()
    for index in range(space.size):
        assert space.index(decode(Candidate, space.at(index).as_dict())) == index


def test_a_stranger_has_no_index() -> None:
    space = mixed_space()
    own = space.at(5)
    other = replace(own, architecture=replace(own.architecture, input_size=65))
    with pytest.raises(KeyError, match="input_size=65"):
        space.index(other)
    with pytest.raises(KeyError, match=r"lr=0\.5"):
        space.index(replace(own, recipe=replace(own.recipe, lr=0.5)))


@pytest.mark.parametrize("index", [-1, 116])
def test_there_is_no_candidate_outside_of_the_space(index: int) -> None:
    space = mixed_space()
    assert space.size == 116
    with pytest.raises(IndexError, match="from 0 to 115"):
        space.at(index)


def test_sampling_is_uniform_over_candidates() -> None:
    space = mixed_space()
    rng = np.random.default_rng(0)
    counts = Counter(space.index(space.sample(rng)) for _ in range(100 * space.size))
    seen = np.array([counts[i] for i in range(space.size)])
    statistic = float(np.sum((seen - 100) ** 2 / 100))
    # Chi-square with 115 degrees of freedom: 115 on average, above 177 once in 10,000.
    assert 60 < statistic < 177


def test_the_same_seed_samples_the_same_candidates() -> None:
    space = mixed_space()
    first, second = (
        [space.sample(np.random.default_rng(7)).id for _ in range(5)] for _ in range(2)
    )
    assert first == second


# ------------------------------------------------------------------ suggestion


@pytest.mark.parametrize("space", [mixed_space(), lone_space()], ids=["mixed", "lone"])
def test_the_choices_of_every_candidate_suggest_it(space: Space) -> None:
    for index in range(space.size):
        walk(space, space.at(index))


def test_an_axis_allows_the_same_wherever_it_is_asked() -> None:
    """Optuna refuses a list that changes under one name."""
    space = mixed_space()
    seen: dict[str, Any] = {}
    for index in range(space.size):
        for name, allowed in walk(space, space.at(index)).items():
            assert seen.setdefault(name, allowed) == allowed
    assert seen == {
        "family": ("mobile", "resnet", "vit"),
        "size@mobile": ("mobile_a", "mobile_no_gem"),
        "size@resnet": ("resnet_a", "resnet_b", "resnet_c"),  # the smallest first
        "size@vit": ("vit_fixed",),
        "head": ("avg", "gem"),
        "head@avg": ("avg",),
        "input_size#": (0, 2),
        "lr#": (0, 1),
        "weight_decay#": (0, 0),
        "batch_size#": (0, 0),
        "augment": ("none", "light"),
        "dropout#": (0, 0),
        "freeze": (False,),
    }


def test_a_backbone_with_other_heads_has_another_axis_of_heads() -> None:
    space = mixed_space()
    asked = {a.backbone: walk(space, candidate_of(space, a.backbone)) for a in space.architectures}
    assert "head@avg" in asked["mobile_no_gem"]
    assert "head" not in asked["mobile_no_gem"]
    assert all("head" in asked[b.name] for b in MIXED if b.name != "mobile_no_gem")


def test_one_input_size_is_no_choice() -> None:
    space = mixed_space()
    assert "input_size#" not in walk(space, candidate_of(space, "vit_fixed"))
    assert "input_size#" in walk(space, candidate_of(space, "resnet_a"))
    one = mixed_space(input_sizes=(224,))
    assert all("input_size#" not in walk(one, one.at(i)) for i in range(one.size))


def candidate_of(space: Space, name: str) -> Candidate:
    """Return the first candidate with a backbone."""
    number = next(i for i, a in enumerate(space.architectures) if a.backbone == name)
    return space.at(space.first_index(number))


# ------------------------------------------------------------------ features


def test_features_have_a_row_a_candidate_and_a_column_a_name() -> None:
    space = mixed_space()
    features = space.features(range(space.size))
    assert features.numeric.shape == (space.size, len(features.numeric_names))
    assert features.categorical.shape == (space.size, len(features.categorical_names))
    assert np.isfinite(features.numeric).all()
    assert len(set(features.numeric_names) | set(features.categorical_names)) == 16
    some = space.features(np.array([3, 1, 3]))
    assert np.array_equal(some.numeric, features.numeric[[3, 1, 3]])
    assert np.array_equal(some.categorical, features.categorical[[3, 1, 3]])
    assert space.features([]).numeric.shape == (0, len(features.numeric_names))


def test_features_are_equal_exactly_where_descriptors_are() -> None:
    space = mixed_space()
    features = space.features(range(space.size))
    columns = dict(zip(features.categorical_names, features.categorical.T, strict=True))
    columns |= dict(zip(features.numeric_names, features.numeric.T, strict=True))
    candidates = [space.at(i) for i in range(space.size)]
    names = {b.name: b for b in MIXED}
    values: dict[str, list[Any]] = {
        "family": [names[c.architecture.backbone].family for c in candidates],
        "backbone": [c.architecture.backbone for c in candidates],
        "head": [c.architecture.head for c in candidates],
        "augment": [c.recipe.augment for c in candidates],
        "log10_input_size": [c.architecture.input_size for c in candidates],
        "log10_lr": [c.recipe.lr for c in candidates],
    }
    for name, expected in values.items():
        pairs = set(zip(columns[name].tolist(), expected, strict=True))
        assert len(pairs) == len(set(expected)) == len(set(columns[name].tolist())), name
    rows = np.concatenate([features.numeric, features.categorical], axis=1)
    assert len(np.unique(rows, axis=0)) == space.size


def test_numeric_features_are_the_descriptors() -> None:
    space = mixed_space()
    candidate = candidate_of(space, "resnet_c")
    features = space.features([space.index(candidate)])
    row = dict(zip(features.numeric_names, features.numeric[0], strict=True))
    assert row["log10_params_m"] == pytest.approx(np.log10(40))
    assert row["log10_input_size"] == pytest.approx(np.log10(32))
    costs = MIXED[2].costs_at(32)
    assert row["log10_macs_g"] == pytest.approx(np.log10(costs.macs_g))
    assert row["log10_acts_m"] == pytest.approx(np.log10(costs.acts_m))
    assert row["log10_lr"] == pytest.approx(-3)
    assert row["weight_decay"] == 0.05
    assert row["freeze"] == 0


# ------------------------------------------------------------------ building


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
        "networks that take three, of grey images too."
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
                "take three, of grey images too"
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


# ------------------------------------------------------------------ fingerprint


@pytest.mark.slow
def test_the_fingerprint_is_the_same_in_another_process() -> None:
    code = "from tests.support.small_spaces import mixed_space\nprint(mixed_space().fingerprint)"
    root = str(Path(__file__).parents[3])
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", f"import sys; sys.path.insert(0, {root!r})\n{code}"],
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
            cwd=root,
            env={"PYTHONHASHSEED": hash_seed},
        )
        assert done.stdout.strip() == mixed_space().fingerprint


def test_whatever_changes_the_space_changes_its_fingerprint() -> None:
    weighted = replace(
        mixed_space(), weights={b.name: Weights("folder", "a1", "f" * 64) for b in MIXED}
    )
    spaces = [
        mixed_space(),
        mixed_space(classes=11),
        mixed_space(MIXED[1:]),
        mixed_space((MIXED[1], MIXED[0], *MIXED[2:])),  # other indices
        mixed_space(heads=("avg",)),
        mixed_space(heads=("gem", "avg")),
        mixed_space(input_sizes=(32, 64)),
        mixed_space(recipe=recipe_config(lr=(0.001, 0.002))),
        mixed_space(recipe=recipe_config(dropout=(0.0, 0.1))),
        mixed_space((backbone("resnet_b", "other", 20.0), *MIXED[1:])),  # other axes
        weighted,
    ]
    fingerprints = [space.fingerprint for space in spaces]
    assert len(set(fingerprints)) == len(spaces)


def test_where_the_weights_lie_does_not_change_the_fingerprint() -> None:
    first, second = (
        replace(
            mixed_space(),
            weights={b.name: Weights("folder", "a1", "f" * 64, path) for b in MIXED},
        )
        for path in ("/here/w.safetensors", "/there/w.safetensors")
    )
    assert first.fingerprint == second.fingerprint


# ------------------------------------------------------------------ selection


def test_selection_keeps_the_catalogs_order_and_excludes() -> None:
    config = space_config(backbones=("resnet34", "resnet1*"), exclude=("resnet1??*", "*.a1"))
    names = [row.name for row in select(config)]
    assert names == ["resnet18", "resnet34"]


def test_a_pattern_that_matches_nothing_is_named_with_the_nearest() -> None:
    config = space_config(backbones=("resnet18", "resnet19", "zzz*", "mobilnetv3_*"))
    with pytest.raises(ConfigError, match=r"no timm architecture is called 'resnet19' \(near: "):
        select(config)
    with pytest.raises(ConfigError) as caught:
        select(config)
    problems = caught.value.problems
    assert [p.split("'")[1] for p in problems] == ["resnet19", "zzz*", "mobilnetv3_*"]
    assert "resnet18" in problems[0]
    assert "near" not in problems[1]
    assert all(f"The catalog has {len(catalog())} of timm" in p for p in problems)


def test_when_everything_is_excluded_the_message_counts() -> None:
    config = space_config(backbones=("resnet18", "resnet34"), exclude=("resnet*",))
    with pytest.raises(ConfigError, match=r"no backbone is left: 2 excluded by space\.exclude\."):
        select(config)


def test_families_are_patterns_of_timms_modules() -> None:
    config = space_config(backbones=("resnet18", "mobilenetv3_*_050"), families=("mobile*",))
    assert {row.family for row in select(config)} == {"mobilenetv3"}
    with pytest.raises(ConfigError, match=r"families: Unknown family 'resnett'\. Did you mean"):
        select(space_config(families=("resnett", "resnet")))


def test_licences_are_those_of_the_weights_that_are_used() -> None:
    names = ("resnet18", "vit_base_patch16_clip_224", "mobileone_s0")
    licensed = space_config(backbones=names, licences=("apache-2.0",))
    assert len(select(licensed)) == 3  # random weights have no licence
    found = selection(replace(licensed, weights="pretrained"))
    assert [row.name for row in found.backbones] == ["resnet18", "vit_base_patch16_clip_224"]
    assert found.left_out == {"whose weights are not of space.licences=apache-2.0": 1}
    with pytest.raises(ConfigError, match=r"licences: Unknown licence 'apache'\. Did you mean"):
        select(replace(licensed, licences=("apache",)))


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


def test_what_selection_leaves_out_counts_for_one_reason() -> None:
    names = ("resnet18", "resnet50", "test_*")
    found = selection(space_config(backbones=names, exclude=("test_*",), params_m_max=20))
    assert [row.name for row in found.backbones] == ["resnet18"]
    n_test = len([name for name in catalog() if name.startswith("test_")])
    assert found.left_out == {"excluded by space.exclude": n_test, "over space.params_m_max=20": 1}


def test_the_largest_backbone_is_a_limit() -> None:
    config = space_config(backbones=("resnet18", "resnet50"))
    assert [r.name for r in select(replace(config, params_m_max=12))] == ["resnet18"]
    both = [r.name for r in select(replace(config, params_m_max=catalog()["resnet50"].params_m))]
    assert both == ["resnet18", "resnet50"]
    with pytest.raises(ConfigError, match=r"is left: 2 over space\.params_m_max=1\. Widen"):
        select(replace(config, params_m_max=1))


# ------------------------------------------------------------------ large spaces


def test_a_large_space_is_indexed_without_being_listed() -> None:
    """The architectures are listed once, the candidates never."""
    space = large_space()
    assert space.size == 100_000
    rng = np.random.default_rng(0)
    for index in rng.integers(space.size, size=2000):
        assert space.index(space.at(int(index))) == index
    assert len(space._numbers) == len(space.architectures) + len(space.recipes)
    assert space.architectures is space.architectures
