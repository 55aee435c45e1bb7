"""Every runtime's reduced precisions compute the network, in less."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import nn

from archfront.search.errors import ParityError
from archfront.search.runtimes import RUNTIMES, LoadSettings, Runtime
from archfront.search.runtimes.exporters import EXPORTERS
from archfront.search.runtimes.parity import check_parity
from tests.support.small_networks import (
    Small,
    perturbed,
    skip_where_it_cannot_run,
    slow_if_compiled,
    small_images,
)

REDUCED = [
    pytest.param(name, precision, id=f"{name}-{precision}", marks=slow_if_compiled(name))
    for name, runtime in RUNTIMES.items()
    for precision in runtime.precisions
    if precision != "fp32"
]


@pytest.mark.parametrize(("name", "precision"), REDUCED)
class TestReducedPrecisions:
    @pytest.fixture
    def runtime(self, name: str, precision: str) -> Runtime:
        skip_where_it_cannot_run(name, precision)
        return RUNTIMES[name]

    @pytest.mark.slow
    @pytest.mark.parametrize(("network", "size"), [("test_resnet", 32), ("test_vit", 160)])
    def test_a_network_passes_parity_is_smaller_and_prints_nothing(
        self,
        runtime: Runtime,
        precision: str,
        network: str,
        size: int,
        tmp_path: Path,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        module, batches = perturbed(network, size)
        settings = LoadSettings(
            tmp_path,
            runtime.exporters[0],
            ("probabilities",),
            precision=precision,
            calibration=batches,
        )
        full_mb = sum(p.numel() for p in module.parameters()) * 4 / 1e6
        before = [parameter.clone() for parameter in module.parameters()]
        with runtime.load(module, batches[0], settings) as session:
            session.run()
            assert check_parity(module, session, batches, precision=precision) > 0
            # OpenVINO makes its bfloat16 of the same file.
            if (runtime.name, precision) != ("openvino", "bf16"):
                assert session.size_mb < 0.7 * full_mb
        assert capfd.readouterr() == ("", "")
        pairs = zip(before, module.parameters(), strict=True)
        assert all(torch.equal(one, other) for one, other in pairs)


QUANTIZED = [name for name, runtime in RUNTIMES.items() if "int8" in runtime.precisions]


@pytest.mark.parametrize("name", QUANTIZED)
def test_int8_without_images_is_a_mistake_of_the_program(name: str, tmp_path: Path) -> None:
    skip_where_it_cannot_run(name, "int8")
    settings = LoadSettings(tmp_path, "torchscript", ("probabilities", "pooled"), precision="int8")
    with pytest.raises(ValueError, match=r"^int8 needs images: settings\.calibration is empty\.$"):
        RUNTIMES[name].load(Small(), small_images(), settings)


@pytest.mark.parametrize(
    ("name", "precision"), [("onnxruntime", "int8"), ("openvino", "bf16"), ("openvino", "int8")]
)
def test_a_wrong_export_is_caught_in_float32_before_it_is_reduced(
    name: str, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is off by a hundredth would be lost in the noise of int8."""
    skip_where_it_cannot_run(name, precision)
    right = EXPORTERS["torchscript"]

    def slightly_wrong(
        module: nn.Module, example: torch.Tensor, target: Path, output_names: Sequence[str]
    ) -> None:
        right(_Scaled(module).eval(), example, target, output_names)

    monkeypatch.setitem(EXPORTERS, "torchscript", slightly_wrong)
    module, batches = perturbed("test_resnet", 32)
    settings = LoadSettings(
        tmp_path, "torchscript", ("probabilities",), precision=precision, calibration=batches
    )
    with pytest.raises(ParityError, match=r"^The export differs from eager PyTorch by 0\.0\d+ of"):
        RUNTIMES[name].load(module, batches[0], settings)


class _Scaled(nn.Module):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(output * 0.99 for output in self.module(images))
