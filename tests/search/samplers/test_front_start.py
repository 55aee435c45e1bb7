"""The first candidates that the sampler ``front`` proposes."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from archfront.search.catalog import Backbone, Costs, Published, Tag
from archfront.search.catalog.backbones import TYPICAL
from archfront.search.samplers.request import MANY
from archfront.search.samplers.start import Start
from archfront.search.space.space import Space
from archfront.trainers.spec import Weights
from tests.support.small_loop import STARTUP, Loop, simulated
from tests.support.small_spaces import MIXED, backbone, mixed_space, recipe_config


def published_space(source: str) -> Space:
    """Return the mixed space where the two smallest backbones have the best published results."""
    backbones = tuple(
        replace(
            b,
            tags=(Tag("t", "mit"),),
            published=(Published("t", 224, 90.0 - b.params_m),),
        )
        for b in (*MIXED, backbone("resnet_d", params_m=80.0))
    )
    space = mixed_space(backbones)
    weights = {name: Weights(source, "t") for name in space.weights}  # type: ignore[arg-type]
    return replace(space, weights=weights)


@pytest.mark.parametrize("source", ["pretrained", "folder"])
def test_published_accuracy_leads_two_of_three_starts_with_the_weights_it_is_of(
    source: str,
) -> None:
    pretrained, scratch = published_space(source), published_space("none")
    assert scratch.published is None
    assert pretrained.published is not None
    assert pretrained.published.max() == pytest.approx(0.88)
    names = {}
    for name, space in (("pretrained", pretrained), ("scratch", scratch)):
        indices = Loop("front", space, seed=0).run(STARTUP)
        names[name] = [space.at(i).architecture.backbone for i in indices]
    # By what was published the smallest backbones are the best and the fastest; the third
    # candidate of the start is chosen by size all the same.
    small = {"mobile_a", "mobile_no_gem"}
    assert STARTUP == 4
    assert {names["pretrained"][k] for k in (0, 1, 3)} <= small
    assert names["pretrained"][2] not in small
    assert set(names["scratch"]) & {"resnet_c", "resnet_d"}


@pytest.mark.parametrize("source", ["pretrained", "folder"])
@pytest.mark.parametrize("is_known", [True, False])
def test_with_first_weights_a_study_of_minutes_begins_with_a_fast_network(
    source: str, is_known: bool
) -> None:
    """One whose metric is there early, whether or not anything is published of the networks."""
    space = published_space(source)
    if not is_known:
        unpublished = (replace(a, backbone=replace(a.backbone, published=())) for a in space.axes)
        space = replace(space, axes=tuple(unpublished))
    steps = space.step_s
    assert steps[first_of_minutes(space)] <= np.quantile(steps, 0.25)
    assert steps[first_of_minutes(published_space("none"))] >= np.quantile(steps, 0.75)


def test_what_was_published_of_whole_images_does_not_begin_a_study_of_boxes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It says nothing of the input size, on which boxes depend most."""
    space = published_space("pretrained")
    of_boxes = SimpleNamespace(is_image_level=False)
    monkeypatch.setattr("archfront.search.samplers.start.TASKS", {space.task: of_boxes})
    assert space.step_s[first_of_minutes(space)] >= np.quantile(space.step_s, 0.75)


def first_of_minutes(space: Space) -> int:
    """Return the architecture that a study of minutes begins with."""
    sampler = Loop("front", space, seed=0).sampler
    start = Start(replace(sampler._request, is_timed=True), sampler._start._scaling)
    return start.choose(np.array([], int))


# Ten sizes, each of twelve families that cost alike; the last does a little more than all others.
ALIKE = tuple(
    replace(
        backbone(f"{family}_{size}", family, 1.5**size),
        costs=((224, Costs(1.5**size * (1 + 0.01 * k), 1.0, 1.0)),),
    )
    for size in range(10)
    for k, family in enumerate("abcdefghijkl")
)


def alike_space(*others: Backbone) -> Space:
    recipe = recipe_config(lr=(0.001,), augment=("light",))
    return mixed_space((*ALIKE, *others), heads=("avg",), input_sizes=(64,), recipe=recipe)


@pytest.mark.parametrize("seed", range(5))
def test_a_start_by_capacity_has_all_sorts_along_the_front(seed: int) -> None:
    space = alike_space()
    indices = Loop("front", space, seed=seed).run(STARTUP)
    chosen = [space.at(i).architecture.backbone.split("_") for i in indices]
    assert len({family for family, _ in chosen}) >= 3
    sizes = [int(size) for _, size in chosen]
    assert min(np.diff(sizes)) >= 1


@pytest.mark.parametrize("seed", range(5))
def test_who_stands_for_a_place_of_the_front_is_nearly_as_large(seed: int) -> None:
    """A network of a family of its own is not chosen that costs as much and does much less."""
    idle = Costs(0.001, 0.001, 0.001)
    poor = (
        replace(b, name=f"poor_{b.name}", family="poor", costs=((224, idle),)) for b in ALIKE[::5]
    )
    space = alike_space(*poor)
    indices = Loop("front", space, seed=seed).run(STARTUP)
    assert all("poor" not in space.at(i).architecture.backbone for i in indices)


@pytest.mark.parametrize("seed", range(3))
def test_without_names_a_place_goes_to_the_member_of_the_front_itself(seed: int) -> None:
    space = alike_space()
    sampler = Loop("front", space, seed=seed).sampler
    start = sampler._start
    start._scaling.levels = ()
    n_recipes = len(space.recipes)
    front = start._front(np.arange(len(space.architectures)), start._capacity)
    tried: list[int] = []
    for _ in range(STARTUP):
        tried.append(start.choose(np.array(tried, int)))
    assert n_recipes == 1
    assert set(tried) <= set(front.tolist())
    assert len(set(tried)) == STARTUP


def test_many_workers_begin_all_along_the_front_before_anything_has_ended() -> None:
    space = alike_space()
    loop = Loop("front", space)
    costs = [simulated(space, loop.ask()[1])[1] for _ in range(2 * MANY)]
    late = np.log(costs[MANY:])
    # The first ones beyond the usual start were all next to its last place.
    assert np.ptp(late) > 0.7 * np.ptp(np.log(costs))
    parts = np.histogram(late, 4)[0]
    assert parts.min() >= 2


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("by_step", [True, False])
def test_where_time_can_run_out_the_front_is_gone_along_from_its_largest_or_both_ends(
    seed: int, by_step: bool
) -> None:
    space = alike_space()
    sampler = Loop("front", space, seed=seed).sampler
    start = Start(replace(sampler._request, is_timed=True), sampler._start._scaling)
    start._scaling.levels = ()
    start._is_by_step = by_step
    start._order = start._ordered(STARTUP - 1)
    tried: list[int] = []
    for _ in range(STARTUP):
        tried.append(start.choose(np.array(tried, int)))
    largest_first = sorted(start._capacity[tried], reverse=True)
    if not by_step:
        largest_first = [largest_first[-1], largest_first[0], *largest_first[-2:0:-1]]
    assert start._capacity[tried].tolist() == largest_first


@pytest.mark.parametrize("is_timed", [True, False])
def test_where_no_network_is_likely_within_the_limits_the_least_unlikely_are_tried(
    is_timed: bool,
) -> None:
    space = alike_space()
    sampler = Loop("front", space, seed=0).sampler
    work = np.log(space.macs_g)
    chances = 0.4 * np.exp(-4 * (work - work.min()))  # a tenth by 1.5 times the work and more
    costs = SimpleNamespace(
        expected=lambda numbers: work[numbers][:, None], chance=lambda numbers: chances[numbers]
    )
    start = Start(
        replace(sampler._request, costs=costs, is_timed=is_timed), sampler._start._scaling
    )
    tried: list[int] = []
    for _ in range(STARTUP):
        tried.append(start.choose(np.array(tried, int)))
    assert len(set(tried)) == STARTUP
    assert chances[tried].min() >= 0.2


def test_other_recipes_come_before_networks_that_are_over_the_limits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two architectures are within the limits; once all others were measured after them."""
    space = alike_space()
    sampler = Loop("front", space, seed=0).sampler
    request = sampler._request
    chances = np.full(len(space.architectures), 1e-9)
    chances[[3, 7]] = 1.0
    costs = SimpleNamespace(
        expected=lambda numbers: space.macs_g[numbers][:, None],
        chance=lambda numbers: chances[numbers],
    )
    start = Start(replace(request, costs=costs), sampler._start._scaling)
    assert {start.choose(np.array(tried, int)) for tried in ([], [3], [7])} == {3, 7}
    counts = np.ones(len(space.architectures), int)
    monkeypatch.setattr(request.candidates, "counts", lambda: counts)
    assert start.choose(np.array([3, 7])) in {3, 7}
    counts[[3, 7]] = 0  # they have no other recipe
    assert start.choose(np.array([3, 7])) not in {3, 7}


def test_where_time_can_run_out_steps_and_not_latencies_order_the_front() -> None:
    space = alike_space()
    sampler = Loop("front", space, seed=0).sampler
    n = len(space.architectures)
    found: dict[bool, list[list[int]]] = {False: [], True: []}
    for latencies in (np.arange(n), np.arange(n)[::-1]):
        costs = SimpleNamespace(
            expected=lambda numbers, all_of=latencies: all_of[numbers][:, None].astype(float),
            chance=lambda numbers: np.ones(len(numbers)),
        )
        for is_timed, starts in found.items():
            request = replace(sampler._request, is_timed=is_timed, costs=costs)
            start = Start(request, sampler._start._scaling)
            tried: list[int] = []
            for _ in range(STARTUP):
                tried.append(start.choose(np.array(tried, int)))
            starts.append(tried)
    assert found[True][0] == found[True][1]
    assert found[False][0] != found[False][1]


def test_networks_whose_field_an_object_does_not_fit_into_have_less_capacity() -> None:
    narrow = replace(backbone("narrow", "a", 4.0), receptive_fields=(16 / TYPICAL,))
    wide = replace(backbone("wide", "a", 4.0), receptive_fields=(64 / TYPICAL,))
    space = replace(mixed_space((narrow, wide), input_sizes=(64,)), object_share=0.5)
    start = Loop("front", space, seed=0).sampler._start
    assert not start._capacity.any()  # an image is no object among others
    start._is_dense = True
    del start._capacity  # that of labels
    found = dict(zip((a.backbone for a in space.architectures), start._capacity, strict=True))
    assert found == {"narrow": pytest.approx(-1), "wide": pytest.approx(0)}


def test_where_networks_learn_from_nothing_in_minutes_rates_at_the_start_are_the_largest() -> None:
    recipe = recipe_config(lr=(0.001, 0.003), augment=("none", "light"))
    space = mixed_space(ALIKE, heads=("avg",), input_sizes=(64,), recipe=recipe)
    sampler = Loop("front", space, seed=0).sampler
    rng = np.random.default_rng(0)
    for is_timed in (False, True):
        start = Start(replace(sampler._request, is_timed=is_timed), sampler._start._scaling)
        chosen = [space.recipes[start.recipe(number, rng)] for number in range(40)]
        assert {r.lr for r in chosen} == ({0.003} if is_timed else {0.001, 0.003})
        assert {r.augment for r in chosen} == {"none", "light"}
