"""From an architecture to its measurement, on every runtime, with timm's tiny networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
from torch import nn

from search.errors import BuildError, ConfigError, ExportError, ParityError
from search.latency.device import fingerprint
from search.latency.export import EXPORTERS
from search.latency.measure import MeasureSettings, latency_key, measure_architecture
from search.latency.runtimes import RUNTIMES
from trainers.spec import Architecture

TINY = Architecture("classification", "test_resnet", "timm", 32, classes=10, channels=3)
SETTINGS = MeasureSettings("onnxruntime", threads=1, batch_size=1, warmup=2, repeats=5)


@pytest.mark.parametrize("name", RUNTIMES)
class TestMeasuring:
    def test_it_says_what_was_measured_and_how(self, name: str, tmp_path: Path) -> None:
        settings = replace(SETTINGS, runtime=name)
        measurement = measure_architecture(TINY, settings, folder=tmp_path)
        latency = measurement.latency
        assert 0 < latency.p50_ms <= latency.p95_ms
        assert latency.repeats >= 5
        assert latency.warmup >= 2
        assert (latency.runtime, latency.threads, latency.batch_size) == (name, 1, 1)
        assert latency.exporter == RUNTIMES[name].exporters[0]
        assert latency.runtime_version == RUNTIMES[name].version()
        assert latency.device == fingerprint().id
        assert latency.source == "measured"
        assert measurement.seconds > latency.p50_ms * 5 / 1e3

    def test_parameters_are_those_of_timm_and_the_file_holds_them(
        self, name: str, tmp_path: Path
    ) -> None:
        model = timm.create_model("test_resnet", num_classes=10)
        params = sum(parameter.numel() for parameter in model.parameters())
        settings = replace(SETTINGS, runtime=name)
        measurement = measure_architecture(TINY, settings, folder=tmp_path)
        assert measurement.params_m == params / 1e6
        assert measurement.size_mb == pytest.approx(params * 4 / 1e6, rel=0.1)

    def test_nothing_is_left_in_the_folder(self, name: str, tmp_path: Path) -> None:
        measure_architecture(TINY, replace(SETTINGS, runtime=name), folder=tmp_path)
        assert list(tmp_path.iterdir()) == []

    def test_multiply_accumulates_are_of_one_image_whatever_the_batch(
        self, name: str, tmp_path: Path
    ) -> None:
        settings = replace(SETTINGS, runtime=name)
        one = measure_architecture(TINY, settings, folder=tmp_path)
        four = measure_architecture(TINY, replace(settings, batch_size=4), folder=tmp_path)
        assert one.macs_g == four.macs_g > 0
        assert four.latency.batch_size == 4


def test_it_prints_nothing_and_leaves_the_process_as_it_was(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    measure_architecture(TINY, SETTINGS, folder=tmp_path)
    assert capfd.readouterr() == ("", "")
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


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
        ConfigError, match=r"^The runtime 'eager' has no precision 'int4'\. Known: fp32\.$"
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
