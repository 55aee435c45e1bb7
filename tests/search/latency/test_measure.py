"""From an architecture to its measurement, on every runtime, with timm's tiny networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import nn

from archfront.search.errors import BuildError, ConfigError, ExportError, ParityError
from archfront.search.latency import clock, memory
from archfront.search.latency.device import allowed_cores, fingerprint
from archfront.search.latency.energy import METERS
from archfront.search.latency.key import MeasureSettings, latency_key
from archfront.search.latency.measure import measure_architecture
from archfront.search.latency.pace import Pace
from archfront.search.records.evaluation import Measurement
from archfront.search.runtimes import RUNTIMES
from archfront.search.runtimes.exporters import EXPORTERS
from archfront.trainers.spec import Architecture
from tests.support.ticking_clock import by_ticks

TINY = Architecture("classification", "test_resnet", "timm", 32, classes=10, channels=3)
# Of equal blocks: 10 kernels are compiled for it, and 16 for the other.
TINY_TO_COMPILE = replace(TINY, backbone="test_vit")
# A wide interval, which two short sittings reach.
SETTINGS = MeasureSettings(
    "onnxruntime",
    threads=1,
    batch_size=1,
    warmup=2,
    repeats=5,
    interval=0.9,
    max_seconds=0.1,
)


# Compiling takes seconds to a minute.
NAMES = [
    pytest.param(name, marks=pytest.mark.slow) if "inductor" in runtime.exporters else name
    for name, runtime in RUNTIMES.items()
]


def network_for(name: str) -> Architecture:
    """Return the tiny network that a runtime measures."""
    return TINY_TO_COMPILE if "inductor" in RUNTIMES[name].exporters else TINY


@dataclass(frozen=True)
class Measured:
    """What measuring a tiny network gave.

    Attributes:
        measurement: Its costs.
        folder: Where it was measured.
    """

    measurement: Measurement
    folder: Path


Measuring = Callable[[str, Architecture], Measured]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Measuring:
    """Return a tiny network measured once on the runtime of a name."""

    @cache
    def once(name: str, network: Architecture) -> Measured:
        folder = tmp_path_factory.mktemp("measured")
        settings = replace(SETTINGS, runtime=name, max_seconds=12.0)
        # Beside other processes even twelve seconds did not hold the repeats.
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(clock, "measure", by_ticks)
            return Measured(measure_architecture(network, settings, folder=folder), folder)

    return once


@pytest.mark.parametrize("name", NAMES)
class TestMeasuring:
    @pytest.fixture(autouse=True)
    def _is_here(self, name: str) -> None:
        try:
            RUNTIMES[name].check()
        except ConfigError as error:
            pytest.skip(str(error))

    @pytest.mark.slow
    def test_it_says_what_was_measured_and_how(self, name: str, measured: Measuring) -> None:
        network = network_for(name)
        measurement = measured(name, network).measurement
        latency = measurement.latency
        assert 0 < latency.p50_ms <= latency.p95_ms
        assert latency.repeats >= 5
        assert latency.warmup >= 2
        assert (latency.runtime, latency.threads, latency.batch_size) == (name, 1, 1)
        assert latency.exporter == RUNTIMES[name].exporters[0]
        assert latency.runtime_version == RUNTIMES[name].version()
        assert latency.device == fingerprint().id
        assert latency.source == "measured"
        assert latency.affinity == allowed_cores()
        assert latency.interval is not None
        assert (latency.drift is None) == (RUNTIMES[name].runs_on == "cuda")
        assert latency.parity is not None
        assert 0 <= latency.parity <= 1e-3
        assert measurement.seconds > latency.p50_ms * 5 / 1e3
        assert measurement.macs_g == measured(SETTINGS.runtime, network).measurement.macs_g

    @pytest.mark.slow
    def test_parameters_are_those_of_timm_and_the_file_holds_them(
        self, name: str, measured: Measuring
    ) -> None:
        network = network_for(name)
        sized = {"img_size": network.input_size} if network.backbone == "test_vit" else {}
        model = timm.create_model(network.backbone, num_classes=10, **sized)
        params = sum(parameter.numel() for parameter in model.parameters())
        measurement = measured(name, network).measurement
        assert measurement.params_m == params / 1e6
        assert measurement.size_mb == pytest.approx(params * 4 / 1e6, rel=0.1)

    @pytest.mark.slow
    def test_nothing_is_left_in_the_folder(self, name: str, measured: Measuring) -> None:
        assert list(measured(name, network_for(name)).folder.iterdir()) == []


@pytest.mark.slow
def test_multiply_accumulates_are_of_one_image_whatever_the_batch(
    measured: Measuring, tmp_path: Path
) -> None:
    """They are counted before a runtime loads the network, so one runtime shows it."""
    one = measured(SETTINGS.runtime, TINY).measurement
    four = measure_architecture(TINY, replace(SETTINGS, batch_size=4), folder=tmp_path)
    assert one.macs_g == four.macs_g > 0
    assert four.latency.batch_size == 4


@pytest.mark.slow
@pytest.mark.skipif(allowed_cores() is None, reason="the system pins nothing")
def test_it_is_pinned_to_the_cores_that_are_asked_for(tmp_path: Path) -> None:
    before = allowed_cores()
    assert before is not None
    pinned = replace(SETTINGS, affinity=before[-1:])
    assert measure_architecture(TINY, pinned, folder=tmp_path).latency.affinity == before[-1:]
    assert allowed_cores() == before


@pytest.mark.slow
def test_throughput_is_measured_at_its_own_batch_where_it_is_asked_for(
    tmp_path: Path, measured: Measuring, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(SETTINGS, throughput_batch=4)
    monkeypatch.setattr(clock, "measure", by_ticks)
    found = measure_architecture(TINY, settings, folder=tmp_path)
    assert found.throughput_ips is not None
    # A run of four images takes a tick, and one of one image too.
    assert found.throughput_ips * found.latency.p50_ms / 1e3 == pytest.approx(4)
    assert list(tmp_path.iterdir()) == []
    assert measured(SETTINGS.runtime, TINY).measurement.throughput_ips is None


@pytest.mark.slow
def test_throughput_at_the_batch_of_the_latency_is_the_same_figure(tmp_path: Path) -> None:
    settings = replace(SETTINGS, batch_size=2, throughput_batch=2)
    found = measure_architecture(TINY, settings, folder=tmp_path)
    assert found.throughput_ips == pytest.approx(2e3 / found.latency.p50_ms)


@pytest.mark.slow
def test_memory_that_cannot_be_measured_matters_only_where_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*asked: object) -> float:
        raise ExportError("It ended with 9: it said nothing.")

    monkeypatch.setattr("archfront.search.latency.memory.artifact_mb", fail)
    found = measure_architecture(TINY, SETTINGS, folder=tmp_path)
    assert found.memory_mb is None
    assert not found.has(["latency_ms", "memory_mb"])
    assert "The memory was not measured. It ended with 9" in caplog.text
    with pytest.raises(ExportError, match="It ended with 9"):
        measure_architecture(TINY, replace(SETTINGS, measures_memory=True), folder=tmp_path)


@pytest.mark.slow
def test_energy_is_measured_where_it_is_asked_for(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    measured: Measuring,
) -> None:
    class Steady:
        def start(self) -> None:
            pass

        def elapsed_mj(self) -> float:
            return 100.0

    monkeypatch.setitem(METERS, "cpu", Steady)
    monkeypatch.setattr("archfront.search.latency.energy.SECONDS", 0.01)
    found = measure_architecture(TINY, replace(SETTINGS, measures_energy=True), folder=tmp_path)
    assert found.energy_mj is not None
    assert 0 < found.energy_mj <= 100.0 / 3
    assert measured(SETTINGS.runtime, TINY).measurement.energy_mj is None


class Stillness:
    """Notes whether others stand still, in place of the engine's ``exclusive``."""

    def __init__(self) -> None:
        self.is_exclusive = False

    @contextmanager
    def exclusive(self) -> Iterator[Callable[[], AbstractContextManager[None]]]:
        self.is_exclusive = True
        yield self._shared
        self.is_exclusive = False

    @contextmanager
    def _shared(self) -> Iterator[None]:
        self.is_exclusive = False
        yield
        self.is_exclusive = True


@pytest.mark.slow
def test_others_stand_still_while_it_is_timed_and_at_no_other_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stillness, seen = Stillness(), set()
    right, timed, probed = EXPORTERS["torchscript"], clock.measure, memory.artifact_mb

    def note(what: str) -> None:
        seen.add((what, stillness.is_exclusive))

    def export(*arguments: Any, **names: Any) -> None:
        note("exported")
        right(*arguments, **names)

    def measured(step: Callable[[], object], *arguments: Any, **names: Any) -> clock.Timing:
        return timed(lambda: (note("timed"), step()), *arguments, **names)

    def memory_mb(*arguments: Any) -> float:
        note("memory")
        return probed(*arguments)

    class Noting:
        def start(self) -> None:
            note("energy")

        def elapsed_mj(self) -> float:
            note("energy")
            return 1.0

    monkeypatch.setattr(clock, "measure", measured)
    monkeypatch.setattr(memory, "artifact_mb", memory_mb)
    monkeypatch.setitem(EXPORTERS, "torchscript", export)
    monkeypatch.setitem(METERS, "cpu", Noting)
    monkeypatch.setattr("archfront.search.latency.energy.SECONDS", 0.01)
    asked = replace(SETTINGS, measures_energy=True, throughput_batch=2)
    measure_architecture(TINY, asked, folder=tmp_path, exclusive=stillness.exclusive)
    exclusive = {("timed", True), ("energy", True)}
    assert seen == exclusive | {("exported", False), ("memory", False)}
    assert not stillness.is_exclusive


@pytest.mark.slow
def test_the_pace_is_kept_for_other_processes_where_a_file_is_given(tmp_path: Path) -> None:
    file = tmp_path / "pace.json"
    settings = replace(SETTINGS, pace_file=str(file))
    (tmp_path / "work").mkdir()
    measure_architecture(TINY, settings, folder=tmp_path / "work")
    assert Pace(file=file).fastest < 0.1


@pytest.mark.slow
def test_it_prints_nothing_and_leaves_the_process_as_it_was(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    measure_architecture(TINY, SETTINGS, folder=tmp_path)
    assert capfd.readouterr() == ("", "")
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.slow
def test_grey_images_and_a_head_of_ours_are_measured(tmp_path: Path) -> None:
    grey = replace(TINY, channels=1, head="gem", input_size=16)
    assert measure_architecture(grey, SETTINGS, folder=tmp_path).latency.p50_ms > 0


def _refuses(
    module: nn.Module, example: torch.Tensor, target: Path, output_names: Sequence[str]
) -> None:
    raise RuntimeError(f"{target.parent.name} does not know this layer")


def _halves(
    module: nn.Module, example: torch.Tensor, target: Path, output_names: Sequence[str]
) -> None:
    """Export another network than the one asked for."""

    class Half(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = module

        def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return tuple(output * 0.5 for output in self.module(images))

    RIGHT_EXPORTER(Half().eval(), example, target, output_names)


RIGHT_EXPORTER = EXPORTERS["torchscript"]


@pytest.mark.slow
@pytest.mark.parametrize("bad", [_refuses, _halves])
def test_the_second_exporter_is_tried_and_named_when_the_first_is_no_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: object
) -> None:
    monkeypatch.setitem(EXPORTERS, "torchscript", bad)
    monkeypatch.setitem(EXPORTERS, "dynamo", RIGHT_EXPORTER)
    measurement = measure_architecture(TINY, SETTINGS, folder=tmp_path)
    assert measurement.latency.exporter == "dynamo"


def test_when_no_exporter_takes_it_the_error_gives_both_reasons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(EXPORTERS, "torchscript", _refuses)
    monkeypatch.setitem(EXPORTERS, "dynamo", _refuses)
    with pytest.raises(ExportError) as raised:
        measure_architecture(TINY, SETTINGS, folder=tmp_path)
    assert str(raised.value) == (
        "test_resnet with head 'timm' at 32 px cannot be exported. "
        "torchscript: RuntimeError: torchscript does not know this layer. "
        "dynamo: RuntimeError: dynamo does not know this layer."
    )
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_export_is_an_error_of_parity_even_if_the_other_exporter_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(EXPORTERS, "torchscript", _halves)
    monkeypatch.setitem(EXPORTERS, "dynamo", _refuses)
    with pytest.raises(
        ParityError,
        match=r"^test_resnet with head 'timm' at 32 px cannot be exported\. "
        r"torchscript: The export differs from eager PyTorch by [\d.]+ of .* "
        r"dynamo: RuntimeError: dynamo does not know this layer\.$",
    ):
        measure_architecture(TINY, SETTINGS, folder=tmp_path)


def test_a_network_that_cannot_be_built_says_so(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="no_such_backbone"):
        measure_architecture(replace(TINY, backbone="no_such_backbone"), SETTINGS, folder=tmp_path)


def test_a_precision_that_the_runtime_lacks_is_told_with_those_it_has(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"^The runtime 'eager' has no precision 'int4'\. Known: fp32, bf16\.$"
    ):
        measure_architecture(
            TINY, replace(SETTINGS, runtime="eager", precision="int4"), folder=tmp_path
        )


def test_the_key_holds_all_that_a_measurement_depends_on() -> None:
    key = latency_key(TINY, SETTINGS)
    assert key.device == fingerprint().id
    assert key.runtime_version == RUNTIMES["onnxruntime"].version()
    assert key.timm_version == timm.__version__
    assert key.architecture == TINY
    assert (key.threads, key.batch_size, key.precision) == (1, 1, "fp32")
    assert latency_key(TINY, replace(SETTINGS, repeats=99)) == key
