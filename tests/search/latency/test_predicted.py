"""The latency model finds the costs of a made-up device, and its band holds what it says."""

from __future__ import annotations

import numpy as np
import pytest

from archfront.search.catalog import catalog
from archfront.search.latency.predicted import (
    COVERAGE,
    MIN_MEASURED,
    LatencyModel,
    is_predictable,
    work,
)
from archfront.trainers.spec import Architecture

# One of a kind each, so that every kind of work occurs.
NAMES = [
    name
    for name, row in catalog().items()
    if row.is_built and row.takes(224) and row.params_m < 30 and not name.startswith("test_")
]


def architecture(name: str, size: int = 224) -> Architecture:
    return Architecture("classification", name, "timm", size, 1000, 3)


def drawn(count: int, seed: int = 0) -> list[Architecture]:
    order = np.random.default_rng(seed).permutation(len(NAMES))[:count]
    return [architecture(NAMES[i]) for i in order]


def device_ms(architectures: list[Architecture], seed: int = 1) -> np.ndarray:
    """Return the latencies of a device on which every kind of work has its price."""
    amounts = work(architectures)
    prices = np.random.default_rng(seed).uniform(0.5, 2.0, amounts.shape[1])
    return amounts @ (prices / work(drawn(100)).mean(axis=0))


def test_a_device_that_is_a_sum_of_costs_is_found() -> None:
    shown, hidden = drawn(120)[:40], drawn(120)[40:]
    band = LatencyModel(shown, device_ms(shown)).predict(hidden)
    errors = np.abs(band.p50_ms / device_ms(hidden) - 1)
    assert np.median(errors) < 0.03
    assert (band.low_ms <= band.p50_ms).all()
    assert (band.p50_ms <= band.high_ms).all()


@pytest.mark.parametrize("noise", [0.05, 0.2])
def test_the_band_holds_as_many_as_it_says_whatever_the_noise(noise: float) -> None:
    shares = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        everything = drawn(132, seed)
        ms = device_ms(everything) * np.exp(noise * rng.standard_normal(132))
        band = LatencyModel(everything[:32], ms[:32]).predict(everything[32:])
        shares.append(np.mean((band.low_ms <= ms[32:]) & (ms[32:] <= band.high_ms)))
    assert np.mean(shares) == pytest.approx(COVERAGE, abs=0.05)


def test_a_few_networks_that_run_far_slower_do_not_move_the_others() -> None:
    """Least squares followed three networks of sixty that took three times their time."""
    shown, hidden = drawn(160)[:60], drawn(160)[60:]
    ms = device_ms(shown)
    ms[:3] *= 3
    errors = LatencyModel(shown, ms).predict(hidden).p50_ms / device_ms(hidden) - 1
    assert np.median(np.abs(errors)) < 0.06


def test_more_pixels_take_longer_also_beyond_what_was_measured() -> None:
    shown = drawn(40)
    model = LatencyModel(shown, device_ms(shown))
    sizes = (64, 128, 224, 320, 448)
    band = model.predict([architecture("resnet18", size) for size in sizes])
    assert (np.diff(band.p50_ms) > 0).all()
    assert band.p50_ms.min() > 0


def test_one_prediction_is_that_of_many() -> None:
    shown = drawn(MIN_MEASURED)
    model = LatencyModel(shown, device_ms(shown))
    one, first = model.predict_each([architecture("resnet18"), shown[0]])
    assert one.low_ms < one.p50_ms < one.high_ms
    assert str(one) == f"{one.p50_ms:.3g} ms ({one.low_ms:.3g} to {one.high_ms:.3g})"
    assert first.p50_ms == model.predict(shown[:1]).p50_ms[0]


def test_many_measurements_are_fitted_soon_and_no_worse() -> None:
    everything = [a for size in (128, 224) for a in (architecture(n, size) for n in NAMES)]
    kept = [a for a in everything if catalog()[a.backbone].takes(a.input_size)][:600]
    model = LatencyModel(kept, device_ms(kept))
    assert model.n_measured == 600
    errors = model.predict(kept).p50_ms / device_ms(kept) - 1
    assert np.median(np.abs(errors)) < 0.01


def test_too_few_and_impossible_latencies_are_refused() -> None:
    shown = drawn(MIN_MEASURED)
    with pytest.raises(ValueError, match=f"at least {MIN_MEASURED} measured .*; got 3 and 3"):
        LatencyModel(shown[:3], [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="latencies are above 0 ms; got 0"):
        LatencyModel(shown, [0.0] * MIN_MEASURED)


def test_what_the_catalog_does_not_know_cannot_be_predicted() -> None:
    assert is_predictable(architecture("resnet18"))
    assert not is_predictable(architecture("resnet_of_tomorrow"))
    with pytest.raises(ValueError, match="no costs of 'resnet_of_tomorrow'"):
        work([architecture("resnet_of_tomorrow")])


def test_a_family_that_is_slower_than_its_work_tells_is_expected_to_be() -> None:
    names = [name for name in NAMES if catalog()[name].family == "efficientnet"]
    others = [a for a in drawn(80) if catalog()[a.backbone].family != "efficientnet"][:40]
    siblings = [architecture(name) for name in names[:8]]
    shown = others + siblings[:4]
    ms = device_ms(shown) * np.array([1.0] * len(others) + [1.4] * 4)
    expected = LatencyModel(shown, ms).predict(siblings[4:]).p50_ms
    assert np.median(expected / device_ms(siblings[4:])) == pytest.approx(1.4, abs=0.12)
    apart = LatencyModel(others, device_ms(others)).predict(siblings[4:]).p50_ms
    assert np.median(apart / device_ms(siblings[4:])) == pytest.approx(1.0, abs=0.08)
