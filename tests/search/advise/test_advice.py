"""Advice measures what could be on the front, and no more, and finds the front that there is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from archfront.search.advise.advice import Advice, Option, options_of
from archfront.search.catalog import catalog
from archfront.search.config.build import build
from archfront.search.errors import ConfigError
from archfront.search.front.pareto import front_mask
from archfront.search.latency.predicted import MIN_MEASURED, work
from archfront.search.prepare.gate import exceeded
from archfront.search.records.evaluation import Failed, Latency, Measurement
from tests.support.configurations import changed

SPACE = {
    "space__backbones": ["resnet*", "convnext*", "mobilenetv3*", "efficientnet*", "vit_*"],
    "space__heads": ["timm"],
    "space__params_m_max": 40,
}


def options(**leaves: Any) -> tuple[Option, ...]:
    config = build(changed(**{**SPACE, **leaves}))
    return options_of(config, classes=10, channels=3).options


def measurement(ms: float) -> Measurement:
    latency = Latency(ms, ms, 0.01, 50, 10, 1, 1, "eager", "1", "fp32", "dev", "none", True)
    return Measurement(latency, params_m=5.0, macs_g=1.0, size_mb=20.0, seconds=1.0)


def device_ms(chosen: tuple[Option, ...]) -> np.ndarray:
    """Return latencies of a device that adds up the work, in its own way."""
    amounts = work([option.architecture for option in chosen])
    prices = np.random.default_rng(3).uniform(0.5, 2.0, amounts.shape[1])
    return amounts @ (prices / np.maximum(amounts.mean(axis=0), 1e-3))


def advised(
    chosen: tuple[Option, ...], ms: np.ndarray, limit: float | None = None, **leaves: Any
) -> Advice:
    """Return what is known when nothing more is asked for."""
    limits = build(changed(**SPACE, hardware__limits__latency_ms=limit, **leaves)).hardware.limits
    advice = Advice(chosen, lambda m: exceeded(m, limits), limit)
    while (index := advice.next()) is not None:
        assert index not in advice.answers
        advice.learn(index, measurement(float(ms[index])))
    return advice


def true_front(chosen: tuple[Option, ...], ms: np.ndarray, limit: float | None) -> set[int]:
    within = [i for i in range(len(chosen)) if limit is None or ms[i] <= limit]
    mask = front_mask([[ms[i], -chosen[i].published.top1] for i in within])
    return {i for i, kept in zip(within, mask, strict=True) if kept}


@pytest.mark.slow
@pytest.mark.parametrize("share", [None, 0.1, 0.5])
def test_the_front_is_found_with_a_part_of_the_measurements(share: float | None) -> None:
    chosen = options()
    ms = device_ms(chosen)
    limit = None if share is None else float(np.quantile(ms, share))
    advice = advised(chosen, ms, limit)
    assert set(advice.front()) == true_front(chosen, ms, limit)
    assert len(advice.answers) < len(chosen) * 2 / 3
    assert list(ms[advice.front()]) == sorted(ms[advice.front()])


@pytest.mark.slow
def test_what_cannot_be_measured_is_not_asked_for_again_and_not_on_the_front() -> None:
    chosen = options()
    ms = device_ms(chosen)
    broken = true_front(chosen, ms, None).pop()
    limits = build(changed(**SPACE)).hardware.limits
    advice = Advice(chosen, lambda m: exceeded(m, replace(limits, latency_ms=None)))
    while (index := advice.next()) is not None:
        assert index not in advice.answers
        failed = Failed("export", "no exporter takes it")
        advice.learn(index, failed if index == broken else measurement(float(ms[index])))
    assert isinstance(advice.answers[broken], Failed)
    assert advice.front()
    assert broken not in advice.front()


def test_a_limit_that_nothing_meets_ends_soon_and_gives_nothing() -> None:
    chosen = options()
    advice = advised(chosen, device_ms(chosen), limit=1e-6)
    assert advice.front() == []
    assert len(advice.answers) <= 2 * MIN_MEASURED


def test_a_space_smaller_than_the_model_needs_is_measured_whole() -> None:
    chosen = options(space__backbones=["resnet18", "resnet34", "vit_small_patch16_224"])
    assert 0 < len(chosen) < MIN_MEASURED
    advice = advised(chosen, device_ms(chosen))
    assert len(advice.answers) == len(chosen)
    assert not advice.has_model


@pytest.mark.slow
def test_the_first_ones_span_the_range_of_work() -> None:
    chosen = options()
    advice = advised(chosen, device_ms(chosen))
    first = [chosen[i].macs_g for i in list(advice.answers)[:3]]
    front = [o.macs_g for o in chosen]
    assert first[0] == min(front)
    assert first[1] > 10 * first[0]
    assert first[0] < first[2] < first[1]


def test_an_option_is_the_best_weights_at_their_own_size() -> None:
    chosen = {(o.backbone.name, o.published.input_size): o for o in options()}
    for (name, size), option in chosen.items():
        at_size = [p for p in catalog()[name].published if p.input_size == size]
        assert option.published.top1 == max(p.top1 for p in at_size)
        assert option.architecture.input_size == size
        assert option.architecture.fused == catalog()[name].is_fusable
        assert (option.architecture.classes, option.architecture.channels) == (10, 3)
        assert option.licence == catalog()[name].licence(option.published.tag)


def test_weights_of_another_licence_are_left_out_and_counted() -> None:
    whole = options_of(build(changed(**SPACE)), classes=10, channels=3)
    config = build(changed(**SPACE, space__licences=["mit"]))
    narrow = options_of(config, classes=10, channels=3)
    assert {o.licence for o in whole.options} > {"mit"}
    assert {o.licence for o in narrow.options} == {"mit"}
    assert sum(narrow.left_out.values()) > sum(whole.left_out.values())


def test_backbones_without_a_published_accuracy_are_named() -> None:
    leaves = {**SPACE, "space__backbones": ["resnet18", "test_resnet"]}
    found = options_of(build(changed(**leaves)), classes=10, channels=3)
    published = bool(catalog()["test_resnet"].published)
    assert found.unpublished == (() if published else ("test_resnet",))
    with pytest.raises(ConfigError, match="resnet_of_tomorrow"):
        options(space__backbones=["resnet_of_tomorrow"])


def test_other_tasks_have_no_published_accuracies_to_advise_by() -> None:
    leaves = {"task__name": "detection", "task__metric": "map", "task__loss": "own"}
    leaves |= {"data__reader": "shapes", "space__heads": ["yolo"], "space__input_sizes": [32]}
    with pytest.raises(ConfigError, match=r"got detection\. Run a study; archfront run task=det"):
        options_of(build(changed(**leaves)), classes=3, channels=3)
