"""Peak memory: of a known allocation, and of one artifact whatever the process did before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from archfront.search.errors import ExportError
from archfront.search.latency import memory
from archfront.search.latency.key import MeasureSettings
from archfront.search.latency.measure import measure_architecture
from archfront.search.latency.memory import OPENERS, allocated_mb, artifact_mb, growth_mb
from archfront.search.runtimes import RUNTIMES
from archfront.search.runtimes.exporters import export_onnx
from archfront.trainers.spec import Architecture

TINY = Architecture("classification", "test_resnet", "timm", 32, classes=10, channels=3)
SETTINGS = MeasureSettings("eager", 1, 1, warmup=2, repeats=6, max_seconds=0.1)


@pytest.fixture(autouse=True)
def _new_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure in processes that begin anew, as users do."""
    monkeypatch.setattr(memory, "artifact_mb", artifact_mb)


def test_a_known_allocation_is_the_growth_even_when_it_is_freed_again() -> None:
    def work() -> None:
        np.ones(64_000_000 // 8)

    assert growth_mb(work) == pytest.approx(64.0, abs=3.0)


def test_what_was_freed_before_is_not_used_again_unseen() -> None:
    """Blocks under 128 KB stay in the process, and the next allocation takes them."""

    def work() -> None:
        [np.ones(8_000) for _ in range(500)]

    work()
    assert growth_mb(work) == pytest.approx(32.0, abs=4.0)


def test_work_that_allocates_nothing_grows_nothing() -> None:
    values = np.ones(1000)
    assert growth_mb(lambda: values.sum()) < 1.0


def test_what_pytorch_holds_is_told_to_the_byte() -> None:
    def step() -> None:
        first = torch.ones(1_000_000)
        second = torch.ones(2_000_000)
        del first
        torch.ones(500_000).add_(second[0])

    assert [allocated_mb(step) for _ in range(3)] == [12.0, 12.0, 12.0]


class _Layers(nn.Module):
    """As many bytes of weights as asked for, in layers of 4 MB."""

    def __init__(self, mb: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(nn.Linear(1000, 1000, bias=False) for _ in range(mb // 4)))

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (self.layers(images.flatten(1)),)


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    example = torch.zeros(1, 1, 10, 100)
    made = {}
    for mb in (8, 40):
        folder = tmp_path_factory.mktemp(f"mb{mb}")
        made[mb] = export_onnx(
            _Layers(mb).eval(), example, folder, exporter="torchscript", output_names=("y",)
        )
    return made


@pytest.mark.slow
def test_more_weights_are_at_least_as_much_more_memory(artifacts: dict[int, Path]) -> None:
    small, large = (artifact_mb("onnxruntime", artifacts[mb], 1, "fp32") for mb in (8, 40))
    # ONNX Runtime holds weights twice while it packs them.
    assert 31 < large - small < 2.5 * 32


@pytest.mark.slow
def test_it_is_the_same_for_the_same_artifact_whatever_was_done_between(
    artifacts: dict[int, Path],
) -> None:
    before = artifact_mb("onnxruntime", artifacts[8], 1, "fp32")
    hoard = [np.ones(1_000_000) for _ in range(5)]
    artifact_mb("onnxruntime", artifacts[40], 1, "fp32")
    del hoard
    assert artifact_mb("onnxruntime", artifacts[8], 1, "fp32") == pytest.approx(before, rel=0.1)


def test_a_file_that_cannot_be_opened_is_told_with_the_reason(tmp_path: Path) -> None:
    broken = tmp_path / "model.onnx"
    broken.write_bytes(b"nothing of the kind")
    with pytest.raises(
        ExportError,
        match=r"^A process of its own that opens and runs the file ended with 1: .*Load model",
    ):
        artifact_mb("onnxruntime", broken, 1, "fp32")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["eager", "onnxruntime", "openvino"])
def test_memory_is_told_when_it_is_asked_for(name: str, tmp_path: Path) -> None:
    if name == "openvino":
        pytest.importorskip("openvino")
    settings = replace(SETTINGS, runtime=name, measures_memory=True)
    found = measure_architecture(TINY, settings, folder=tmp_path)
    assert found.has(["memory_mb"])
    assert found.value("memory_mb") > found.size_mb


def test_every_opener_is_of_a_runtime() -> None:
    assert set(OPENERS) <= set(RUNTIMES)
