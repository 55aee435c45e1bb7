"""From an exported file to a network that runs, by name of what opens it.

ONNX Runtime and OpenVINO are opened without torch. TorchScript and torch.export are programs, and
only opened where someone vouches for them (``foreign.py``). No file is unpickled: TorchScript and
hf hold tensors as such, and an archive of torch.export is looked through before torch reads it.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from archfront.search.errors import ArtifactError, ConfigError, ExportError
from archfront.search.predict.foreign import check_origin
from archfront.search.predict.isolated import Isolated
from archfront.search.predict.opening import Opening
from archfront.search.runtimes.exporters import INPUT_NAME, root_reason
from archfront.search.runtimes.installed import installed_version
from archfront.search.runtimes.protocol import LoadedModel
from archfront.search.runtimes.quiet import quiet

if TYPE_CHECKING:
    from torch import nn

Array = NDArray[Any]


class _Function:
    """A network that is one function of an array."""

    def __init__(
        self, function: Callable[[Array], Sequence[Any]], output_names: Sequence[str], what: str
    ) -> None:
        self._function: Callable[[Array], Sequence[Any]] | None = function
        self._output_names = output_names
        self._what = what

    def outputs(self, images: Array) -> dict[str, Array]:
        assert self._function is not None
        try:
            found = [np.asarray(output, np.float32) for output in self._function(images)]
        # The runtimes' exceptions have no common class.
        except Exception as error:
            raise ExportError(f"{self._what} does not run it: {root_reason(error)}") from error
        return dict(zip(self._output_names, found, strict=True))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._function = None


def open_file(opener: str, opening: Opening) -> LoadedModel:
    """Return the network in a file, of unknown origin in a process of its own.

    Raises:
        ArtifactError: If the file is damaged or holds what it should not, or is a program that
            nobody vouches for.
        ConfigError: If the library that it needs is not installed.
    """
    if opener not in OPENERS:
        known = ", ".join(OPENERS)
        raise ArtifactError(f"The manifest names an opener {opener!r}. Known: {known}.")
    if not opening.is_trusted:
        check_origin(opener, opening.path)
        return Isolated(opener, opening)
    try:
        return OPENERS[opener](opening)
    except (ArtifactError, ConfigError):
        raise
    # What a damaged file does to a library has no common class either.
    except Exception as error:
        raise ArtifactError(
            f"{opening.path} cannot be opened: {root_reason(error)} Export the model again."
        ) from error


def _onnx(opening: Opening) -> LoadedModel:
    from archfront.search.runtimes.onnx import open_onnx

    session = open_onnx(opening.path, opening.threads)
    names = list(opening.output_names)
    return _Function(
        lambda images: session.run(names, {INPUT_NAME: images}), names, "ONNX Runtime"
    )


def _openvino(opening: Opening) -> LoadedModel:
    from archfront.search.runtimes.openvino import open_openvino

    installed_version("openvino", "openvino")
    request = open_openvino(
        opening.path, opening.threads, opening.precision
    ).create_infer_request()

    def run(images: Array) -> list[Array]:
        request.infer([np.ascontiguousarray(images)])
        return [np.array(request.get_tensor(name).data) for name in opening.output_names]

    return _Function(run, opening.output_names, "OpenVINO")


def _torchscript(opening: Opening) -> LoadedModel:
    import torch

    _with_nms(opening)
    with quiet():
        network = torch.jit.load(str(opening.path), map_location="cpu")  # type: ignore[no-untyped-call]
    return _torch_function(network, opening)


def _torch_export(opening: Opening) -> LoadedModel:
    import torch

    check_archive(opening.path)
    _with_nms(opening)
    with quiet():
        network = torch.export.load(opening.path).module()
    return _torch_function(network, opening)


def _with_nms(opening: Opening) -> None:
    """Register the non-maximum suppression that the graph of a detector calls by name."""
    if opening.task in ("detection", "instance"):
        import_module("torchvision")


def _hf(opening: Opening) -> LoadedModel:
    from archfront.trainers.networks.hf.publish import load_published

    return _torch_function(load_published(opening.path, opening.task), opening)


def _torch_function(network: nn.Module, opening: Opening) -> LoadedModel:
    import torch

    from archfront.search.runtimes.torch_session import torch_threads

    def run(images: Array) -> list[Array]:
        # Not in inference mode: a loaded program may change its own constants.
        with torch.no_grad(), torch_threads(opening.threads):
            found = network(torch.from_numpy(np.ascontiguousarray(images)))
        return [output.float().numpy() for output in found]

    return _Function(run, opening.output_names, "PyTorch")


def check_archive(path: Path) -> None:
    """See that an archive of torch.export holds tensors and a graph, and nothing pickled.

    torch unpickles what such an archive marks as pickled, its custom objects, its older layouts,
    and example inputs that are no plain tensors: all of these are refused.

    Raises:
        ArtifactError: If it is no such archive, or holds one of these.
    """
    import torch

    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.partition("/")[2]: name for name in archive.namelist()}
            is_archive = "archive_format" in names and "models/model.json" in names
            # Two files of one name: which of them torch reads is not known.
            if not is_archive or len(names) < len(archive.namelist()):
                raise ArtifactError(f"{path} is no archive of torch.export.")
            for name in names:
                is_json = name.endswith(".json")
                if name.startswith(("data/aotinductor", "data/weights/", "data/constants/")):
                    is_plain = is_json or name.rpartition("/")[2].startswith(
                        ("weight_", "tensor_")
                    )
                    if not is_plain:
                        raise ArtifactError(f"{path} holds {name}, which is not a tensor.")
                if is_json and name.startswith(("data/weights/", "data/constants/")):
                    content = json.loads(archive.read(names[name]))
                    if any(one["use_pickle"] for one in content["config"].values()):
                        raise ArtifactError(
                            f"{path}: {name} asks for a pickle, which is not read."
                        )
            for name in names:
                if name.startswith("data/sample_inputs/") and (held := archive.read(names[name])):
                    torch.load(io.BytesIO(held), weights_only=True)
    except ArtifactError:
        raise
    # zipfile, json and torch refuse what is no archive of theirs in many ways.
    except Exception as error:
        raise ArtifactError(
            f"{path} is no archive of torch.export that is safe to read: {root_reason(error)}"
        ) from error


OPENERS: dict[str, Callable[[Opening], LoadedModel]] = {
    "onnx": _onnx,
    "openvino": _openvino,
    "torchscript": _torchscript,
    "torch-export": _torch_export,
    "hf": _hf,
}
