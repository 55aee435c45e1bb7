"""Graphs of unknown origin, in a process of its own: what they answer, and where they end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from archfront.search.errors import ArtifactError, ExportError
from archfront.search.predict import isolated
from archfront.search.predict.isolated import Isolated
from archfront.search.predict.openers import open_file
from archfront.search.predict.opening import Opening
from archfront.trainers.data.preprocess import Preprocess
from archfront.trainers.spec import Architecture, Weights
from archfront.trainers.tasks import TASKS

IMAGES = np.arange(192, dtype=np.float32).reshape(1, 3, 8, 8)


def graph(folder: Path, nodes: Sequence[Any], constants: Sequence[Any] = ()) -> Opening:
    """Return the opening of an ONNX file of these nodes."""
    taken = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 8, 8])
    given = helper.make_tensor_value_info("found", TensorProto.FLOAT, None)
    made = helper.make_graph(nodes, "graph", [taken], [given], list(constants))
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, folder / "model.onnx")
    return Opening(folder / "model.onnx", ("found",), 1, "fp32", "classification")


def whole(name: str, *values: int) -> TensorProto:
    return helper.make_tensor(name, TensorProto.INT64, [len(values)], values)


def endless(folder: Path) -> Opening:
    """Return the opening of a graph that computes sines for ever."""
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["goes"]),
            helper.make_node("Sin", ["before"], ["after"]),
        ],
        "body",
        [
            value("step", TensorProto.INT64, []),
            value("go", TensorProto.BOOL, []),
            value("before", TensorProto.FLOAT, None),
        ],
        [value("goes", TensorProto.BOOL, []), value("after", TensorProto.FLOAT, None)],
    )
    steps = helper.make_tensor("steps", TensorProto.INT64, [], [2**62])
    loop = helper.make_node("Loop", ["steps", "", "images"], ["found"], body=body)
    return graph(folder, [loop], [steps])


def test_the_answers_are_those_of_the_same_process(tmp_path: Path) -> None:
    opening = graph(tmp_path, [helper.make_node("Sin", ["images"], ["found"])])
    with open_file("onnx", opening) as opened:
        assert isinstance(opened, Isolated)
        for images in (IMAGES, IMAGES + 1):
            found = opened.outputs(images)
            assert found.keys() == {"found"}
            assert np.allclose(found["found"], np.sin(images), atol=1e-5)


@pytest.mark.slow
def test_files_of_transformers_answer_as_in_the_same_process(tmp_path: Path) -> None:
    """PyTorch and transformers alone were more than a process was allowed, so none was opened."""
    import torch

    from archfront.trainers.networks.hf.publish import load_published, publish

    made = Architecture("classification", "test_resnet", "timm", 32, 3, 3)
    model = TASKS["classification"].build(made, Weights())
    half = (0.5,) * 3
    publish(model, Preprocess(32, 3, half, half), ("a", "b", "c"), tmp_path)
    opening = Opening(tmp_path, ("scores",), 1, "fp32", "classification")
    images = np.linspace(-1, 1, 2 * 3 * 32 * 32, dtype=np.float32).reshape(2, 3, 32, 32)
    with open_file("hf", opening) as opened:
        assert isinstance(opened, Isolated)
        found = opened.outputs(images)["scores"]
    [expected] = load_published(tmp_path, "classification")(torch.from_numpy(images))
    assert np.allclose(found, expected, atol=1e-5)


def test_more_memory_than_allowed_is_refused(tmp_path: Path) -> None:
    size = whole("size", 100_000, 100_000)
    opening = graph(tmp_path, [helper.make_node("ConstantOfShape", ["size"], ["found"])], [size])
    expected = pytest.raises(ExportError, match=r"onnx: ONNX Runtime does not run it: .* at most ")
    with open_file("onnx", opening) as opened, expected:
        opened.outputs(IMAGES)


def test_a_graph_without_an_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_file("onnx", endless(tmp_path)) as opened:
        monkeypatch.setattr(isolated, "BY_THE_CLOCK", 0.2)
        with pytest.raises(ExportError, match=r"model\.onnx: it gave no answer within 1 s\. It "):
            opened.outputs(IMAGES)


def test_processor_time_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolated, "IMAGE_S", 1)
    expected = pytest.raises(
        ExportError, match=r"took more than 1 s of processor time\. .*--trust"
    )
    with open_file("onnx", endless(tmp_path)) as opened, expected:
        opened.outputs(IMAGES)


def test_what_cannot_be_opened_is_told_with_its_limits(tmp_path: Path) -> None:
    opening = graph(tmp_path, [helper.make_node("Sin", ["images"], ["found"])])
    opening.path.write_bytes(b"\x08" * 1000)
    with pytest.raises(
        ArtifactError, match=r"model\.onnx cannot be opened: .* at most 768 MB and"
    ):
        open_file("onnx", opening)


def test_a_process_that_ends_is_told(tmp_path: Path) -> None:
    opening = graph(tmp_path, [helper.make_node("Sin", ["images"], ["found"])])
    with Isolated("onnx", opening) as opened:
        opened._process.kill()
        with pytest.raises(ExportError, match=r"it ended its process by SIGKILL, as damaged"):
            opened.outputs(IMAGES)


def test_after_an_error_the_next_image_is_answered(tmp_path: Path) -> None:
    opening = graph(tmp_path, [helper.make_node("Sin", ["images"], ["found"])])
    with Isolated("onnx", opening) as opened:
        with pytest.raises(ExportError, match="ONNX Runtime does not run it"):
            opened.outputs(IMAGES[:, :2])
        assert opened.outputs(IMAGES)["found"].shape == IMAGES.shape


def test_the_process_ends_with_its_predictor(tmp_path: Path) -> None:
    opening = graph(tmp_path, [helper.make_node("Sin", ["images"], ["found"])])
    opened = Isolated("onnx", opening)
    process = opened._process
    del opened
    assert process.poll() is not None
