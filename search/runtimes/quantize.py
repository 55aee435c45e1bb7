"""int8 for ONNX Runtime: static quantization of weights by channel, of activations by image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from archfront.search.errors import ExportError
from archfront.search.runtimes.exporters import INPUT_NAME, root_reason
from archfront.search.runtimes.quiet import quiet

if TYPE_CHECKING:
    import torch

# All operations that can be: the fastest for convolutional networks (1.9 against 1.1 ms for
# mobilenetv2_100 at 128 px). With attention only products with weights: those of activations
# with activations lose most (vit_tiny_patch16_224: 0.92 correlation with eager against 0.995)
# and gain nothing. Unsigned activations: signed ones took 2 to 4 times as long.
WITH_ATTENTION = ["Conv", "Gemm", "MatMul"]


class _Images:
    """The batches of calibration as ONNX Runtime reads them: one at a time, then None."""

    def __init__(self, batches: Sequence[torch.Tensor]) -> None:
        self._left: Iterator[torch.Tensor] = iter(batches)

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self._left, None)
        return None if batch is None else {INPUT_NAME: batch.numpy()}


def quantize_onnx(
    path: Path, calibration: Sequence[torch.Tensor], *, only_products: bool = False
) -> Path:
    """Write a network in int8 as ``int8/model.onnx`` beside an ONNX file's folder.

    Args:
        path: The file in float32.
        calibration: Batches of what it takes.
        only_products: Leave all but convolutions and products with weights as they are.

    Raises:
        ExportError: If the quantizer does not take it.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    target = path.parent.parent / "int8" / "model.onnx"
    target.parent.mkdir(exist_ok=True)
    with quiet(), TemporaryDirectory(dir=path.parent.parent) as temporary:
        prepared = Path(temporary) / "prepared.onnx"
        try:
            products = WITH_ATTENTION if only_products else None
            # Shapes are fixed, so that ONNX's own inference of them is enough.
            quant_pre_process(path, prepared, skip_symbolic_shape=True)
            quantize_static(
                prepared,
                target,
                _Images(calibration),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=WITH_ATTENTION if _has_attention(prepared) else products,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                extra_options={"MatMulConstBOnly": True},
            )
        # What it does not take has no common class.
        except Exception as error:
            raise ExportError(
                f"ONNX Runtime does not quantize it: {root_reason(error)}"
            ) from error
    return target


def _has_attention(path: Path) -> bool:
    """Return whether activations are multiplied with activations."""
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    constants = {tensor.name for tensor in graph.initializer}
    constants |= {node.output[0] for node in graph.node if node.op_type == "Constant"}
    return any(
        node.op_type in ("MatMul", "Einsum") and constants.isdisjoint(node.input)
        for node in graph.node
    )
