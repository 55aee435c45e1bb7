"""Features by ONNX Runtime, which takes a third of the time of eager PyTorch on a processor."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

logger = logging.getLogger(__name__)

OPSET = 18
# Of the largest feature: what rounding in another order may change.
PARITY = 1e-3
# What a session takes and gives; the outputs are arrays ``(N, D)``.
Run = Callable[[Tensor], list[NDArray[np.float32]]]


def onnx_runner(network: nn.Module, images: Tensor, threads: int) -> Run | None:
    """Return what runs a network on ONNX Runtime; None where that cannot be or is not the same.

    Args:
        network: In evaluation mode, from images to a tuple of features.
        images: A few normalized ones, with which the export is compared with eager PyTorch.
        threads: Of one operation.
    """
    try:
        with torch.no_grad():
            expected = [part.numpy() for part in network(images)]
        run = _session(network, images[:2], threads)
        found = run(images)
    except ImportError:
        return None
    # What exporter and runtime raise for a network that they do not take has no common class.
    except Exception as error:
        logger.info("Features are computed in PyTorch: %s", error)
        return None
    for mine, others in zip(expected, found, strict=True):
        if mine.shape != others.shape or np.abs(mine - others).max() > PARITY * np.abs(mine).max():
            logger.info("Features are computed in PyTorch: ONNX Runtime gives others.")
            return None
    return run


def _session(network: nn.Module, images: Tensor, threads: int) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4
    names = [f"features_{index}" for index in range(len(network(images)))]
    with tempfile.TemporaryDirectory() as folder, _quiet():
        path = Path(folder) / "features.onnx"
        torch.onnx.export(
            network,
            (images.contiguous(),),
            path,
            input_names=["images"],
            output_names=names,
            opset_version=OPSET,
            dynamic_axes={name: {0: "batch"} for name in ("images", *names)},
            dynamo=False,
            verbose=False,
        )
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(images: Tensor) -> list[NDArray[np.float32]]:
        given = session.run(names, {"images": images.contiguous().numpy()})
        return [np.asarray(each, np.float32) for each in given]

    return run


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the exporter warns of from people: all that matters of it shows in the features.

    It writes the graph of a network that it does not take to standard output, from C++.
    """
    torch._C._jit_set_onnx_log_output_stream("stderr")
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
        torch._C._jit_set_onnx_log_output_stream("stdout")
