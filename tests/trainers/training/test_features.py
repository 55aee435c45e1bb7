"""Features of a backbone are computed once and kept for every head that pools them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from archfront.trainers.data import DataRef
from archfront.trainers.errors import DivergedError
from archfront.trainers.networks.classifiers import ON_STAGES
from archfront.trainers.spec import TrainResult, Weights
from archfront.trainers.training import features, onnx_features, probe
from archfront.trainers.training.proxy import train
from archfront.trainers.training.scoring import score
from tests.support.probes import DIGITS, FEW, HEADS, NETWORK, RECIPE, SETTINGS, run
from tests.trainers.training.test_resume import bits


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the list to which each pass over images appends their number."""
    seen: list[int] = []
    computed = features.computed

    def counted(network: Any, images: Any, rows: Any, *rest: Any) -> Any:
        seen.append(len(rows))
        return computed(network, images, rows, *rest)

    monkeypatch.setattr(features, "computed", counted)
    return seen


def shared(folder: Path) -> DataRef:
    return replace(FEW, shared=str(folder), shared_mb=100)


@pytest.mark.slow
def test_features_are_computed_once_for_all_heads_that_pool(
    tmp_path: Path, passes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "HEAD_STEPS_MIN", 50)  # a head of several layers may be bad
    data, of = shared(tmp_path / "shared"), replace(NETWORK, input_size=64)  # maps of 2 x 2
    heads = [head for head in HEADS if head not in ON_STAGES]
    results = {head: run(tmp_path / head, replace(of, head=head), data=data) for head in heads}
    assert passes == [120, 60]
    again = run(tmp_path / "again", of, data=data)
    assert bits(again)[:3] == bits(results["timm"])[:3]
    weights = Weights("folder", path=str(tmp_path / "timm" / "first.pth"))
    for head, result in results.items():  # each has the pooling that it would have alone
        _, predicted = score(
            replace(of, head=head), result.weights, data, split="val", preprocess_of=weights,
            threads=1,
        )  # fmt: skip
        saved = np.load(result.predictions)["probabilities"]
        np.testing.assert_allclose(saved, predicted["probabilities"], atol=1e-3)
    run(tmp_path / "smaller", data=data)
    assert passes == [120, 60, 120, 60]
    for name in ("stages", "stages again"):  # which other heads do not take
        run(tmp_path / name, replace(of, head="levels"), data=data)
    assert passes == [120, 60] * 3
    run(tmp_path / "truncated", replace(of, head="truncated"), data=data)
    assert passes == [120, 60] * 4


@pytest.mark.slow
def test_heads_behind_other_layers_have_features_of_their_own(
    tmp_path: Path, passes: list[int]
) -> None:
    data, of = shared(tmp_path / "shared"), replace(NETWORK, backbone="test_convnext")
    for head in ("avg", "max", "avg"):
        run(tmp_path / head, replace(of, head=head), data=data)
    assert passes == [120, 60] * 2


@pytest.mark.slow
def test_other_weights_have_other_features(tmp_path: Path, passes: list[int]) -> None:
    data = shared(tmp_path / "shared")
    run(tmp_path / "a", data=data)
    state = torch.load(tmp_path / "a" / "first.pth")
    (tmp_path / "b").mkdir()
    torch.save({k: v * 1.5 if v.ndim == 4 else v for k, v in state.items()}, tmp_path / "b.pth")
    weights = Weights("folder", path=str(tmp_path / "b.pth"))
    train(NETWORK, weights, RECIPE, data, SETTINGS, folder=tmp_path / "b")
    assert passes == [120, 60] * 2


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainResult]:
    """Return a folder of shared features, to be copied, and the probe that made it."""
    folder = tmp_path_factory.mktemp("kept")
    return folder / "shared", run(folder / "first", data=shared(folder / "shared"))


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"", b"PK torn", None])
def test_a_file_of_features_that_is_broken_is_made_again(
    content: bytes | None,
    kept: tuple[Path, TrainResult],
    tmp_path: Path,
    passes: list[int],
) -> None:
    whole_features, first = kept
    shutil.copytree(whole_features, tmp_path / "shared")
    data = shared(tmp_path / "shared")
    for file in (tmp_path / "shared").glob(f"features-*/{features.FILE}"):
        whole = bytearray(file.read_bytes())
        whole[len(whole) // 2] ^= 0xFF  # a bit of the disk
        file.write_bytes(whole if content is None else content)
    again = run(tmp_path / "again", data=data)
    assert passes == [120, 60]
    assert bits(again)[:3] == bits(first)[:3]
    run(tmp_path / "third", data=data)
    assert passes == [120, 60]


@pytest.mark.slow
def test_what_is_no_room_for_is_not_kept(tmp_path: Path, passes: list[int]) -> None:
    data = replace(DIGITS, shared=str(tmp_path / "shared"), shared_mb=0.01)
    for part in "ab":
        assert run(tmp_path / part, data=data).metrics["accuracy"] > 0.6
    assert passes == [300, 100] * 2


@pytest.mark.slow
def test_onnx_runtime_gives_the_features_of_pytorch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    ran: list[int] = []
    session = onnx_features._session

    def counted(*given: Any) -> Any:
        run = session(*given)
        return lambda images: ran.append(len(images)) or run(images)

    monkeypatch.setattr(onnx_features, "_session", counted)
    eager, fast = shared(tmp_path / "eager"), shared(tmp_path / "fast")
    run(tmp_path / "a", data=eager)
    assert ran == []
    monkeypatch.setattr(features, "ONNX_PIXELS", 0)
    run(tmp_path / "b", data=fast)
    assert sum(ran) == 120 + 60 + features.N_TRIED
    files = sorted((tmp_path / "eager").glob(f"features-*/{features.FILE}"))
    assert len(files) == 2
    for file in files:
        same = tmp_path / "fast" / file.relative_to(tmp_path / "eager")
        with np.load(file) as first, np.load(same) as second:
            for name in features.Pooled.names:
                np.testing.assert_allclose(second[name], first[name], rtol=1e-4, atol=1e-5)
    assert "".join(capfd.readouterr()) == ""


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["refuses", "differs", "missing"])
def test_without_an_export_features_are_those_of_pytorch(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def session(*_: Any) -> Any:
        if fault == "differs":
            return lambda images: [np.zeros((len(images), 96), np.float32)] * 3
        raise ImportError if fault == "missing" else RuntimeError("no such operator")

    eager = run(tmp_path / "eager", data=FEW)
    monkeypatch.setattr(features, "ONNX_PIXELS", 0)
    monkeypatch.setattr(onnx_features, "_session", session)
    assert bits(run(tmp_path / "other", data=FEW))[:3] == bits(eager)[:3]


def test_only_as_many_features_as_memory_holds(tmp_path: Path, passes: list[int]) -> None:
    # 3 poolings of 96 channels: 1,152 bytes an image, a quarter of the memory.
    data = replace(DIGITS, memory_mb=4 * (100 + 150) * 1152 / 1e6)
    result = run(tmp_path, data=data)
    assert passes == [150, 100]
    assert result.metrics["accuracy"] > 0.6


def test_features_that_are_not_finite_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = features.computed

    def broken(*given: Any) -> Any:
        return {name: np.full_like(part, np.inf) for name, part in computed(*given).items()}

    monkeypatch.setattr(features, "computed", broken)
    with pytest.raises(DivergedError, match=r"features of test_resnet at 32 px are not finite"):
        run(tmp_path)
