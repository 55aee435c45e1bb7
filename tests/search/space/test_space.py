"""The space is finite, counted, and reached whole by index and by suggestion."""

from __future__ import annotations

import math
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archfront.search.catalog.backbones import TYPICAL
from archfront.search.records.candidate import Candidate
from archfront.search.records.codec import decode
from archfront.search.space.space import Space
from archfront.trainers.spec import Weights
from tests.support.small_spaces import (
    MIXED,
    backbone,
    large_space,
    lone_space,
    mixed_space,
    recipe_config,
)
from tests.support.space_walk import candidate_of, walk


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


def test_features_have_a_row_a_candidate_and_a_column_a_name() -> None:
    space = mixed_space()
    features = space.features(range(space.size))
    assert features.numeric.shape == (space.size, len(features.numeric_names))
    assert features.categorical.shape == (space.size, len(features.categorical_names))
    assert np.isfinite(features.numeric).all()
    assert len(set(features.numeric_names) | set(features.categorical_names)) == 20
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


def test_a_truncated_network_is_described_by_what_is_left_of_it() -> None:
    shares = (0.2, 0.5, 0.9, 0.8, 0.7)
    heads = (("avg",), ("truncated",))
    row = replace(backbone("net"), n_ops=100, heads=heads, truncated_shares=shares)
    space = mixed_space((row,), heads=("avg", "truncated"), input_sizes=(32,))
    assert [a.head for a in space.architectures] == ["avg", "truncated"]
    numbers = space.architecture_features().numeric
    params, size, macs, acts, *_ = 10 ** (numbers[1] - numbers[0])
    assert (params, size, macs, acts) == pytest.approx((0.2, 1.0, 0.5, 0.9))
    assert space.macs_g[1] == pytest.approx(0.5 * space.macs_g[0])
    assert space.step_s[1] < space.step_s[0]


def test_what_a_position_sees_is_told_in_sides_of_an_object() -> None:
    known = replace(MIXED[0], receptive_fields=(11.0, 128 / TYPICAL))
    effective = replace(
        MIXED[1], receptive_fields=(math.inf,), effective_size=64, effective_fields=(16.0,)
    )
    space = replace(mixed_space((known, effective, MIXED[2])), object_share=0.5)

    def seen(number: int) -> float:
        features = space.architecture_features(np.array([number]))
        names = features.numeric_names
        return float(10 ** features.numeric[0, names.index("log10_seen_objects")])

    found: dict[tuple[str, int], float] = {
        (a.backbone, a.input_size): seen(n) for n, a in enumerate(space.architectures)
    }
    # At 32 and 64 px the field is cut by the image; that of attention is a share of it.
    assert [found["resnet_b", size] for size in (32, 64, 224)] == pytest.approx([2, 2, 128 / 112])
    assert [found["resnet_a", size] for size in (32, 64, 224)] == pytest.approx([0.5, 0.5, 0.5])
    assert found["resnet_c", 32] == pytest.approx(
        np.prod([2, 2, 128 / 112, *[0.5] * 3]) ** (1 / 6)
    )
    expected = {"resnet_a": 1.0, "resnet_b": 0.0, "resnet_c": -np.log2(found["resnet_c", 32])}
    wanted = [expected[a.backbone] for a in space.architectures]
    assert space.unseen_octaves == pytest.approx(wanted)
    assert not replace(space, object_share=None).unseen_octaves.any()


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


def test_a_large_space_is_indexed_without_being_listed() -> None:
    """The architectures are listed once, the candidates never."""
    space = large_space()
    assert space.size == 100_000
    rng = np.random.default_rng(0)
    for index in rng.integers(space.size, size=2000):
        assert space.index(space.at(int(index))) == index
    assert len(space._numbers) == len(space.architectures) + len(space.recipes)
    assert space.architectures is space.architectures
