"""What a runtime says where a library, a compiler, an instruction or a GPU is missing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as real_version
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch
from torch import nn

from archfront.search.engine.node_facts import version_of
from archfront.search.errors import ConfigError, ExportError
from archfront.search.export.ship import _versions
from archfront.search.formats.formats import FORMATS, formats_named
from archfront.search.prepare.prepare import LIBRARIES, Prepared
from archfront.search.retrain.reproduction import changes
from archfront.search.runtimes import RUNTIMES, LoadSettings, installed, open_onnx, openvino
from archfront.search.runtimes.exporters import export_onnx
from archfront.search.runtimes.onnx_cuda import to_float16
from tests.support.services import client_of

ON_GPU = [name for name, runtime in RUNTIMES.items() if runtime.runs_on == "cuda"]
Install = Callable[..., None]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Return what says which distributions are installed, and hides others."""

    def only(hidden: tuple[str, ...] = (), **versions: str) -> None:
        def version(package: str) -> str:
            if package in hidden:
                raise PackageNotFoundError(package)
            return versions.get(package.replace("-", "_")) or real_version(package)

        monkeypatch.setattr(installed, "version", version)

    return only


@pytest.mark.parametrize(
    ("name", "precision", "package", "extra"),
    [
        ("openvino", "fp32", "openvino", "openvino"),
        ("openvino", "int8", "nncf", "openvino"),
        ("onnxruntime_cuda", "fp32", "onnxruntime-gpu", "cuda"),
    ],
)
def test_a_missing_package_is_named_with_the_extra_that_installs_it(
    name: str, precision: str, package: str, extra: str, install: Install
) -> None:
    install(hidden=(package,))
    with pytest.raises(ConfigError) as raised:
        RUNTIMES[name].check(precision)
    assert str(raised.value) == f"{package} is not installed: pip install 'archfront[{extra}]'."


def test_openvino_runs_without_nncf_where_nothing_is_quantized(install: Install) -> None:
    install(hidden=("nncf",))
    RUNTIMES["openvino"].check("fp32")


def test_onnx_runtime_may_be_installed_by_its_package_for_gpus(install: Install) -> None:
    install(hidden=("onnxruntime",), onnxruntime_gpu="1.31.1")
    assert RUNTIMES["onnxruntime"].version() == "1.31.1"
    install(hidden=("onnxruntime", "onnxruntime-gpu"))
    with pytest.raises(ConfigError, match=r"^onnxruntime is not installed: pip install onnxrunt"):
        RUNTIMES["onnxruntime"].check()


def test_studies_and_exports_take_onnx_runtime_of_its_package_for_gpus(install: Install) -> None:
    """A study ended in a traceback, and an export was refused, as if the library were missing."""
    install(hidden=("onnxruntime",), onnxruntime_gpu="1.31.1")
    prepared = SimpleNamespace(_libraries=lambda: LIBRARIES, device=None, measuring=None)
    environment = Prepared._environment(cast("Prepared", prepared))
    assert environment.versions["onnxruntime"] == "1.31.1"
    assert changes({"onnxruntime": "1.31.1"}) == ()
    assert [entry.name for entry in formats_named(["mlflow"])] == ["onnx", "mlflow"]
    assert FORMATS["onnx"].version() == "onnxruntime 1.31.1"
    assert _versions((FORMATS["onnx"],))["onnxruntime"] == "1.31.1"


@pytest.mark.parametrize("name", ON_GPU)
class TestWithoutGpu:
    @pytest.fixture(autouse=True)
    def _no_gpu(self, monkeypatch: pytest.MonkeyPatch, install: Install) -> None:
        install(onnxruntime_gpu="1.31.1")
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    def test_it_says_so_and_what_to_use(self, name: str) -> None:
        with pytest.raises(
            ConfigError,
            match=rf"^The runtime '{name}' needs an NVIDIA GPU, and torch \S+ (finds none|was "
            rf"installed without CUDA).*\. Use hardware\.runtime={name.removesuffix('_cuda')}, "
            r"or a machine with one\.$",
        ):
            RUNTIMES[name].check()

    def test_loading_says_the_same(self, name: str, tmp_path: Path) -> None:
        settings = LoadSettings(tmp_path, RUNTIMES[name].exporters[0], ("y",))
        with pytest.raises(ConfigError, match="needs an NVIDIA GPU"):
            RUNTIMES[name].load(nn.Identity(), torch.zeros(1, 3, 8, 8), settings)


def test_a_package_for_the_cpu_over_that_for_gpus_is_told_with_the_way_out(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    install(onnxruntime_gpu="1.31.1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(
        ConfigError, match=r"the package for the CPU lies over it\. Run: pip uninstall onnxrunt"
    ):
        RUNTIMES["onnxruntime_cuda"].check()


def test_compiling_without_a_compiler_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(
        ConfigError,
        match=r"^The runtime 'compiled' needs a C\+\+ compiler, and there is no 'no-such-compiler'"
        r"\. Install g\+\+, or set CXX to another; or use hardware\.runtime=eager\.$",
    ):
        RUNTIMES["compiled"].check()


def test_bfloat16_that_the_processor_lacks_is_no_precision_of_openvino(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(openvino, "_capabilities", lambda: ["FP32", "INT8"])
    with pytest.raises(ConfigError, match="has no bf16 on this processor"):
        RUNTIMES["openvino"].check("bf16")


@pytest.mark.parametrize("name", RUNTIMES)
def test_a_precision_that_a_runtime_lacks_is_told_with_those_it_has(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"^The runtime '{name}' has no precision 'int4'\. Kno"):
        RUNTIMES[name].check("int4")


def test_openvino_finds_no_telemetry() -> None:
    program = (
        "import sys; from archfront.search.runtimes.openvino import openvino_library as library; "
        "library(); sys.exit(sys.modules['openvino_telemetry'] is not None)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


class Refusing(nn.Module):
    """A network that runs in float32 only."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 2)
        self.eval().requires_grad_(False)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor]:
        if self.head.weight.dtype != torch.float32:
            raise TypeError("only float32\nand a second line")
        return (self.head(images.mean(dim=(2, 3))),)


def test_a_network_that_does_not_run_in_a_precision_is_an_export_error(tmp_path: Path) -> None:
    settings = LoadSettings(tmp_path, "none", ("y",), precision="bf16")
    with pytest.raises(
        ExportError, match=r"^PyTorch in bf16 does not run it: TypeError: only float32\.$"
    ):
        RUNTIMES["eager"].load(Refusing(), torch.zeros(1, 3, 8, 8), settings)


@pytest.mark.slow
def test_a_network_that_inductor_does_not_take_is_an_export_error(tmp_path: Path) -> None:
    settings = LoadSettings(tmp_path, "inductor", ("y",), precision="bf16")
    with pytest.raises(ExportError, match=r"^TorchInductor does not run it: .*only float32"):
        RUNTIMES["compiled"].load(Refusing(), torch.zeros(1, 3, 8, 8), settings)


@pytest.mark.slow
def test_what_is_compiled_is_not_compiled_again_while_it_is_timed(tmp_path: Path) -> None:
    settings = LoadSettings(tmp_path, "inductor", ("y",))
    images = torch.rand(1, 3, 8, 8)
    with RUNTIMES["compiled"].load(Refusing(), images, settings) as session:
        session.run()
        with pytest.raises(ExportError, match=r"^TorchInductor does not run it: .*recompile"):
            session.outputs(torch.rand(2, 3, 8, 8).numpy())


def test_float16_of_a_file_is_half_of_it_and_close_to_it(tmp_path: Path) -> None:
    """The file runs on the processor too, so that a GPU is not needed to see it right."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 64, 3), nn.ReLU(), nn.Conv2d(64, 64, 3)).eval()
    images = torch.rand(1, 3, 8, 8)
    path = export_onnx(module, images, tmp_path, exporter="torchscript", output_names=["y"])
    half = to_float16(path)
    assert half.stat().st_size < 0.6 * path.stat().st_size
    (found,) = open_onnx(half, 1).run(["y"], {"images": images.numpy()})
    np.testing.assert_allclose(found, module(images).detach().numpy(), atol=5e-3)


def test_nodes_and_the_service_know_onnxruntime_by_its_package_for_gpus(
    install: Install, tmp_path: Path
) -> None:
    """They said that it is not installed."""
    install(hidden=("onnxruntime",), onnxruntime_gpu="1.99")
    assert version_of("onnxruntime") == "1.99"
    with client_of(tmp_path) as client:
        found = client.get("/api/v1/version").json()
    assert found["libraries"]["onnxruntime"] == "1.99"
    install(hidden=("onnxruntime", "onnxruntime-gpu"))
    assert version_of("onnxruntime") == "none"
