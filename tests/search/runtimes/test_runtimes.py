"""Every runtime keeps the contract of ``search.runtimes``, and its names are cheap."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from archfront.search.config.compose import conf_dir
from archfront.search.errors import ConfigError, ExportError
from archfront.search.runtimes import (
    PRECISIONS,
    RUNTIMES,
    LoadSettings,
    installed_version,
    runtime_named,
)
from archfront.search.runtimes.exporters import EXPORTERS, export_onnx
from tests.support.programs import LIGHT, Programs
from tests.support.small_networks import (
    Small,
    skip_where_it_cannot_run,
    slow_if_compiled,
    small_images,
)

# Names of the small network's outputs.
OUTPUTS = ("probabilities", "pooled")


class Untraceable(nn.Module):
    """A network that no exporter takes: it cannot even be run."""

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor]:
        raise RuntimeError("this layer has no symbol\nand a second line")


@pytest.mark.parametrize("name", RUNTIMES)
def test_a_runtime_has_its_key_as_name_full_precision_first_and_a_device(name: str) -> None:
    runtime = RUNTIMES[name]
    assert runtime.name == name
    assert runtime.precisions[0] == "fp32"
    assert set(runtime.precisions) <= set(PRECISIONS)
    assert (runtime.runs_on == "cuda") == name.endswith("_cuda")


def test_every_runtime_has_a_file_of_the_hardware_group_and_every_file_its_precision() -> None:
    files = [yaml.safe_load(path.read_text()) for path in (conf_dir() / "hardware").glob("*.yaml")]
    base = next(content for content in files if "defaults" not in content)
    chosen = [{**base, **content} for content in files]
    assert {content["runtime"] for content in chosen} == set(RUNTIMES)
    assert all(c["precision"] in RUNTIMES[c["runtime"]].precisions for c in chosen)


@pytest.mark.parametrize("name", RUNTIMES)
def test_a_runtime_that_can_run_has_a_version(name: str) -> None:
    skip_where_it_cannot_run(name)
    assert RUNTIMES[name].version()[0].isdigit()


ROUTES = [
    pytest.param(name, exporter, id=f"{name}-{exporter}", marks=slow_if_compiled(name))
    for name, runtime in RUNTIMES.items()
    for exporter in runtime.exporters
]


@dataclass(frozen=True)
class Loaded:
    """What was seen of a small network that a runtime loaded, ran four times and closed.

    Attributes:
        others: Its outputs of other images than the example.
        before: Its outputs of the example.
        after: The same after it ran.
        seconds: Of a run by the device's own clock; None where it has none.
        memory_mb: On the device; None where it has none of its own.
        printed: What was written to standard output and standard error.
        n_threads: Of torch, after 2 were set before.
        is_training: Whether any part of the module is in training mode.
        elsewhere: The files in the working folder, which is not the one that was given.
    """

    others: dict[str, np.ndarray]
    before: dict[str, np.ndarray]
    after: dict[str, np.ndarray]
    seconds: float | None
    memory_mb: float | None
    printed: bytes
    n_threads: int
    is_training: bool
    elsewhere: list[Path]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Loaded]:
    """Return what was seen of the small network on a route, loaded once."""

    @cache
    def once(name: str, exporter: str) -> Loaded:
        folder, elsewhere = (tmp_path_factory.mktemp(part) for part in ("given", "elsewhere"))
        settings = LoadSettings(folder, exporter, OUTPUTS)
        module, example = Small(), small_images()
        n_threads = torch.get_num_threads()
        torch.set_num_threads(2)
        with (elsewhere.parent / f"{elsewhere.name}.log").open("w+b") as log:
            with (
                contextlib.chdir(elsewhere),
                _written_to(log),
                RUNTIMES[name].load(module, example, settings) as session,
            ):
                others = session.outputs(small_images(seed=1).numpy())
                before = session.outputs(example.numpy())
                for _ in range(3):
                    session.run()
                after = session.outputs(example.numpy())
                seconds = session.timer() if session.timer is not None else None
                memory_mb = session.device_memory_mb
            log.seek(0)
            printed = log.read()
        found = torch.get_num_threads()
        torch.set_num_threads(n_threads)
        is_training = any(part.training for part in module.modules())
        left = list(elsewhere.iterdir())
        return Loaded(others, before, after, seconds, memory_mb, printed, found, is_training, left)

    return once


@contextlib.contextmanager
def _written_to(log: BinaryIO) -> Iterator[None]:
    """Write what this process prints into a file, from Python and from libraries alike."""
    kept = [os.dup(number) for number in (1, 2)]
    with (
        open(log.fileno(), "w", closefd=False) as text,
        contextlib.redirect_stdout(text),
        contextlib.redirect_stderr(text),
    ):
        for number in (1, 2):
            os.dup2(log.fileno(), number)
        try:
            yield
        finally:
            for number, own in enumerate(kept, start=1):
                os.dup2(own, number)
                os.close(own)


def same_as_eager(found: dict[str, np.ndarray], images: torch.Tensor) -> None:
    """Check every output of the small network, and their order."""
    assert tuple(found) == OUTPUTS
    for one, other in zip(found.values(), Small()(images), strict=True):
        assert isinstance(one, np.ndarray)
        np.testing.assert_allclose(one, other.numpy(), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "exporter"), ROUTES)
class TestRuntimeContract:
    @pytest.fixture(autouse=True)
    def _is_here(self, name: str) -> None:
        skip_where_it_cannot_run(name)

    @pytest.fixture
    def settings(self, exporter: str, tmp_path: Path) -> LoadSettings:
        return LoadSettings(tmp_path, exporter, OUTPUTS)

    def test_it_gives_every_output_of_eager_in_order(
        self, name: str, exporter: str, loaded: Callable[[str, str], Loaded]
    ) -> None:
        same_as_eager(loaded(name, exporter).others, small_images(seed=1))

    def test_it_takes_a_batch_of_several_images(self, name: str, settings: LoadSettings) -> None:
        images = small_images(3, seed=1)
        with RUNTIMES[name].load(Small(), small_images(3), settings) as session:
            same_as_eager(session.outputs(images.numpy()), images)

    def test_it_runs_the_example_and_can_run_it_again(
        self, name: str, exporter: str, loaded: Callable[[str, str], Loaded]
    ) -> None:
        seen = loaded(name, exporter)
        assert seen.after.keys() == seen.before.keys()
        for output, values in seen.after.items():
            np.testing.assert_array_equal(values, seen.before[output])

    def test_a_gpu_has_a_clock_and_a_memory_of_its_own(
        self, name: str, exporter: str, loaded: Callable[[str, str], Loaded]
    ) -> None:
        seen = loaded(name, exporter)
        if RUNTIMES[name].runs_on == "cpu":
            assert seen.seconds is None
            assert seen.memory_mb is None
        else:
            assert seen.seconds is not None
            assert 0 < seen.seconds < 1
            assert seen.memory_mb is not None
            assert seen.memory_mb > 0

    def test_its_size_is_about_that_of_the_weights(
        self, name: str, settings: LoadSettings
    ) -> None:
        module = nn.Sequential(nn.Flatten(), nn.Linear(768, 1000)).eval()
        module.requires_grad_(False)
        wrapped = _Tuple(module)
        with RUNTIMES[name].load(wrapped, small_images(), settings) as session:
            assert session.size_mb == pytest.approx(769 * 1000 * 4 / 1e6, rel=0.02)

    def test_its_files_stay_in_the_folder_it_was_given(
        self, name: str, exporter: str, loaded: Callable[[str, str], Loaded]
    ) -> None:
        assert loaded(name, exporter).elsewhere == []

    def test_the_threads_of_torch_are_as_before(
        self, name: str, exporter: str, loaded: Callable[[str, str], Loaded]
    ) -> None:
        assert loaded(name, exporter).n_threads == 2

    def test_it_prints_nothing(
        self, name: str, exporter: str, loaded: Callable[[str, str], Loaded]
    ) -> None:
        assert loaded(name, exporter).printed == b""

    def test_the_module_is_left_in_evaluation_mode(
        self, name: str, exporter: str, loaded: Callable[[str, str], Loaded]
    ) -> None:
        assert not loaded(name, exporter).is_training


class _Tuple(nn.Module):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        outputs = self.module(images)
        return outputs, outputs.sum(dim=1)


@pytest.mark.slow
@pytest.mark.parametrize("exporter", EXPORTERS)
def test_a_network_that_cannot_be_exported_gives_its_own_reason_in_one_line(
    exporter: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ExportError, match=r"^RuntimeError: this layer has no symbol\.$"):
        export_onnx(Untraceable(), small_images(), tmp_path, exporter=exporter, output_names=["y"])
    assert capfd.readouterr() == ("", "")


class Unscalable(nn.Module):
    """Pooling to a size that does not divide the image's, as vgg does on small images."""

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor]:
        return (nn.functional.adaptive_avg_pool2d(images, 7),)


def test_torchscript_does_not_dump_the_graph_of_a_network_that_it_refuses(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Regression: the exporter wrote pages of graph to standard output, from C++."""
    with pytest.raises(ExportError, match=r"^SymbolicValueError: .*adaptive_avg_pool2d"):
        export_onnx(
            Unscalable(), small_images(), tmp_path, exporter="torchscript", output_names=["y"]
        )
    # What C++ holds back comes out with the next flush.
    os.write(1, b"after")
    assert capfd.readouterr() == ("after", "")


@pytest.mark.slow
def test_dynamo_takes_what_torchscript_refuses(tmp_path: Path) -> None:
    module, images = Unscalable(), small_images()
    settings = LoadSettings(tmp_path, "dynamo", ("pooled",))
    with RUNTIMES["onnxruntime"].load(module, images, settings) as session:
        np.testing.assert_allclose(
            session.outputs(images.numpy())["pooled"], module(images)[0], atol=1e-6
        )


def test_a_file_that_onnx_runtime_does_not_take_is_an_export_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(
        module: nn.Module, example: torch.Tensor, target: Path, output_names: tuple[str, ...]
    ) -> None:
        target.write_bytes(b"this is no network")

    monkeypatch.setitem(EXPORTERS, "torchscript", broken)
    settings = LoadSettings(tmp_path, "torchscript", ("y",))
    with pytest.raises(ExportError, match=r"^ONNX Runtime does not take it: "):
        RUNTIMES["onnxruntime"].load(Small(), small_images(), settings)


def test_eager_runs_on_the_threads_it_was_given(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    settings = LoadSettings(tmp_path, "none", ("probabilities", "pooled"), threads=before + 1)
    with RUNTIMES["eager"].load(Small(), small_images(), settings):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_an_unknown_runtime_is_told_with_the_nearest_name() -> None:
    with pytest.raises(
        ConfigError,
        match=r"^Unknown runtime 'onnxrt'\. Did you mean 'onnxruntime'\? Known: compiled, ",
    ):
        runtime_named("onnxrt")


def test_a_missing_library_names_the_extra_that_installs_it() -> None:
    with pytest.raises(
        ConfigError,
        match=r"^no-such-runtime is not installed: pip install 'archfront\[such\]'\.$",
    ):
        installed_version("no-such-runtime", extra="such")


def test_a_missing_library_without_an_extra_names_itself() -> None:
    with pytest.raises(ConfigError, match=r": pip install no-such-runtime\.$"):
        installed_version("no-such-runtime")


def test_names_versions_and_keys_are_known_without_importing_a_runtime(
    programs: Programs,
) -> None:
    code = """
import sys
from archfront.search.latency.measure import MeasureSettings, latency_key
from archfront.search.runtimes import RUNTIMES
from archfront.trainers.spec import Architecture
architecture = Architecture("classification", "resnet18", "timm", 32, 10, 3)
for name in RUNTIMES:
    if name != "onnxruntime_cuda":  # its package is not that of the others
        latency_key(architecture, MeasureSettings(name, 1, 1, 10, 50))
heavy = {"torch", "timm", "onnx", "onnxruntime", "openvino", "nncf"} & set(sys.modules)
assert not heavy, heavy
"""
    programs.run(code, imports=LIGHT, sees_repository=True)
