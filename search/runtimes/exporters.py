"""From a network to an ONNX file, by one of several exporters.

The TorchScript exporter comes first: it takes a fraction of a second where dynamo takes 2 to 15.
Neither takes every network, and a trace can be wrong where a network branches on its data, so
the result is compared with eager (``parity.py``) before anything is believed of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from archfront.search.errors import ExportError
from archfront.search.runtimes.quiet import quiet

if TYPE_CHECKING:
    import torch
    from torch import nn

# The lowest that the dynamo exporter writes; ONNX Runtime and OpenVINO read it since 2023.
OPSET = 18
INPUT_NAME = "images"

Exporter = Callable[..., None]


def export_onnx(
    module: nn.Module,
    example: torch.Tensor,
    folder: Path,
    *,
    exporter: str,
    output_names: Sequence[str],
    is_batch_dynamic: bool = False,
) -> Path:
    """Write a network as ``folder/<exporter>/model.onnx`` and return that path.

    Image size and, unless said otherwise, batch are fixed to those of the example. Nothing is
    printed and no warning is given: what matters of them shows in the parity check.

    Args:
        module: In evaluation mode; takes ``example`` as its one argument.
        example: Images ``(N, C, H, W)``.
        folder: Exists.
        exporter: Key of ``EXPORTERS``.
        output_names: Names of the outputs, in their order.
        is_batch_dynamic: Whether the file takes any number of images.

    Raises:
        ExportError: If the exporter does not take the network.
    """
    target = folder / exporter / "model.onnx"
    target.parent.mkdir(exist_ok=True)
    options = {"is_batch_dynamic": True} if is_batch_dynamic else {}
    with quiet(), _graph_not_dumped():
        try:
            EXPORTERS[exporter](module, example, target, output_names, **options)
        # What an exporter raises for a network that it does not know has no common class.
        except Exception as error:
            raise ExportError(root_reason(error)) from error
    return target


def root_reason(error: BaseException) -> str:
    """Return the first line of what an exception was raised from, as a sentence."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines() or ["without a message"]
    return f"{type(error).__name__}: {lines[0].strip().rstrip('.')}."


def _by_torchscript(
    module: nn.Module,
    example: torch.Tensor,
    target: Path,
    output_names: Sequence[str],
    *,
    is_batch_dynamic: bool = False,
) -> None:
    import torch

    names = (INPUT_NAME, *output_names)
    torch.onnx.export(
        module,
        (example,),
        target,
        input_names=[INPUT_NAME],
        output_names=list(output_names),
        opset_version=OPSET,
        dynamic_axes={name: {0: "batch"} for name in names} if is_batch_dynamic else None,
        dynamo=False,
        verbose=False,
    )


def _by_dynamo(
    module: nn.Module,
    example: torch.Tensor,
    target: Path,
    output_names: Sequence[str],
    *,
    is_batch_dynamic: bool = False,
) -> None:
    import torch

    torch.onnx.export(
        module,
        (example,),
        target,
        input_names=[INPUT_NAME],
        output_names=list(output_names),
        opset_version=OPSET,
        dynamic_shapes=({0: torch.export.Dim("batch")},) if is_batch_dynamic else None,
        dynamo=True,
        verbose=False,
        # One file, as the other exporter writes it, where the format's 2 GB allow it.
        external_data=False,
    )


@contextmanager
def _graph_not_dumped() -> Iterator[None]:
    """Keep the TorchScript exporter from dumping the graph of a network that it does not take.

    It does so from C++ and with no way to turn it off (torch 2.15 tests a function for truth
    where it means to call it), to standard output, which may be showing progress. So the dump
    is sent to standard error, which ``quiet`` closes.
    """
    import torch

    torch._C._jit_set_onnx_log_output_stream("stderr")
    try:
        yield
    finally:
        torch._C._jit_set_onnx_log_output_stream("stdout")


EXPORTERS: dict[str, Exporter] = {"torchscript": _by_torchscript, "dynamo": _by_dynamo}
