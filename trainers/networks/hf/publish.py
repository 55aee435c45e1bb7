"""A trained classifier as a folder that transformers loads by itself, without this package.

timm's own ``save_for_hf`` is of no use here: what it writes names ``num_classes`` twice for
transformers' wrapper, and its processor takes the size that the network was published for. So
the configuration is written here, with the size, normalization and filter of the candidate.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from safetensors.torch import save_file
from torch import nn

from archfront.trainers.data.preprocess import FILTERS, Preprocess
from archfront.trainers.errors import BuildError, WeightsError
from archfront.trainers.networks.backbone import size_option
from archfront.trainers.networks.hf.heads import POOLS, PROBLEMS, unpublishable
from archfront.trainers.networks.hf.names import CONFIG, is_hub, transformers_version
from archfront.trainers.spec import Architecture

if TYPE_CHECKING:
    from archfront.trainers.networks.classifiers import Classifier

WEIGHTS, PROCESSOR = "model.safetensors", "preprocessor_config.json"


def publish(
    model: Classifier, preprocess: Preprocess, class_names: Sequence[str], folder: Path
) -> None:
    """Write a trained classifier as transformers' own files.

    Args:
        model: The network as it was trained, its blocks not merged.
        preprocess: How images become its input.
        class_names: By label.
        folder: Exists.

    Raises:
        BuildError: If transformers could not load it.
        ConfigError: If transformers is not installed.
    """
    a = model.architecture
    reason = unpublishable(a.task, a.head, a.channels)
    if reason is not None:
        raise BuildError(f"It cannot go to hf: {reason}.")
    version = transformers_version()
    labels = {str(i): name for i, name in enumerate(class_names)}
    if is_hub(a.backbone):
        network = cast("Any", model.backbone).network
        content = network.config.to_dict() | {
            "architectures": [type(network).__name__],
            "id2label": labels,
            "label2id": {name: int(i) for i, name in labels.items()},
            "problem_type": PROBLEMS[a.task],
        }
        _write(folder / PROCESSOR, _processor(preprocess))
        prefix = ""
    else:
        network, prefix = model.backbone, "timm_model."
        content = _wrapped(a, preprocess, class_names)
    _write(folder / CONFIG, {**content, "dtype": "float32", "transformers_version": version})
    # Copies, since safetensors refuses layers that share their weights.
    state = {
        prefix + key: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for key, value in network.state_dict().items()
    }
    save_file(state, folder / WEIGHTS, metadata={"format": "pt"})
    # safetensors writes for the owner only, and a server is often run by another user.
    shutil.copymode(folder / CONFIG, folder / WEIGHTS)


def load_published(folder: Path, task: str) -> nn.Module:
    """Return the network that transformers loads from a folder: normalized images to outputs.

    Raises:
        ConfigError: If transformers is not installed.
        WeightsError: If the files do not give every layer its weights.
    """
    transformers_version()
    from transformers import AutoModelForImageClassification

    from archfront.trainers.networks.hf.files import silent

    with silent():
        network, info = AutoModelForImageClassification.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    wrong = sorted([*info["missing_keys"], *info["unexpected_keys"], *info["mismatched_keys"]])
    if wrong:
        raise WeightsError(f"{folder} has weights that do not fit its configuration: {wrong[0]}.")
    return _Published(network, task).eval().requires_grad_(False)


class _Published(nn.Module):
    def __init__(self, network: nn.Module, task: str) -> None:
        super().__init__()
        self.network = network
        self.link = nn.Sigmoid() if task == "multilabel" else nn.Softmax(dim=1)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor]:
        return (self.link(self.network(pixel_values=images).logits),)


def _wrapped(a: Architecture, preprocess: Preprocess, class_names: Sequence[str]) -> Any:
    """Return the configuration of transformers' wrapper around timm.

    Names are as ``TimmWrapperConfig`` of transformers 5 reads them: ``num_classes`` at the top
    only, the transforms under ``pretrained_cfg``.
    """
    size = a.input_size
    return {
        "model_type": "timm_wrapper",
        "architectures": ["TimmWrapperForImageClassification"],
        "architecture": a.backbone,
        "do_pooling": True,
        "num_classes": a.classes,
        "label_names": list(class_names),
        "problem_type": PROBLEMS[a.task],
        "model_args": {
            "in_chans": a.channels,
            **size_option(a.backbone, size),
            **POOLS[a.head],
        },
        "pretrained_cfg": {
            "input_size": [a.channels, size, size],
            "fixed_input_size": True,
            "interpolation": preprocess.interpolation,
            # The whole image becomes the square: nothing is cropped.
            "crop_pct": 1.0,
            "crop_mode": "squash" if preprocess.resize == "squash" else "center",
            "mean": list(preprocess.mean),
            "std": list(preprocess.std),
        },
    }


def _processor(preprocess: Preprocess) -> dict[str, Any]:
    side = preprocess.input_size
    return {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": side, "width": side},
        "resample": int(FILTERS[preprocess.interpolation]),
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(preprocess.mean),
        "image_std": list(preprocess.std),
    }


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
