"""First weights of transformers' classifiers: found, fetched, adapted; and their preprocessing."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from timm.layers.pos_embed import resample_abs_pos_embed
from torch import nn

from archfront.trainers.data.preprocess import FILTERS, Interpolation, Preprocess, Resize
from archfront.trainers.errors import BuildError, ConfigError, WeightsError
from archfront.trainers.files import plain_path
from archfront.trainers.networks.checkpoint import checked_file
from archfront.trainers.networks.hf.names import CONFIG, cached_file, folder_of, repository_of
from archfront.trainers.networks.hf.network import (
    USUAL_CHANNELS,
    USUAL_CLASSES,
    HubNetwork,
    _drop,
    built,
    classifiers_of,
    config_for,
)
from archfront.trainers.spec import Architecture, Weights
from archfront.trainers.sums import sha256_of
from archfront.trainers.words import reason_of

WEIGHTS = "model.safetensors"
PREPROCESSOR = "preprocessor_config.json"
N_SHOWN = 4


def resolve_hub(name: str, source: str, *, channels: int) -> Weights:
    """Return the weights of a network, read and compared with it. Nothing is downloaded.

    Args:
        name: Such as ``hf:microsoft/resnet-50``.
        source: ``pretrained``: its folder, or the hub's cache; else a folder that has one by the
            name of the repository, such as ``microsoft/resnet-50`` or ``microsoft--resnet-50``.
        channels: Channels of the images.

    Raises:
        BuildError: If the network cannot be built.
        WeightsError: If there are none, or they do not fit.
    """
    path = _found(name, source)
    preprocessor_of(path)
    kind: Literal["pretrained", "folder"] = "pretrained" if source == "pretrained" else "folder"
    weights = Weights(kind, sha256=sha256_of(path), path=str(path))
    create_hub(name, channels=channels, weights=weights)
    return weights


def fetch_hub(name: str) -> Path:
    """Download configuration, preprocessing and weights of a repository; return the weights.

    What is there already is not loaded again.

    Raises:
        WeightsError: If the name stands for a folder that has no weights, or the files cannot be
            downloaded.
    """
    if folder_of(name) is not None:
        return _found(name, "pretrained")
    from huggingface_hub import hf_hub_download

    try:
        for file in (CONFIG, PREPROCESSOR):
            hf_hub_download(repository_of(name), file)
        return Path(hf_hub_download(repository_of(name), WEIGHTS))
    except Exception as error:  # every network library has its own kinds
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise WeightsError(f"{name}: {type(error).__name__}: {reason}") from error


def hub_preprocess(architecture: Architecture, weights: Weights, resize: Resize) -> Preprocess:
    """Return the preprocessing of images that the weights of a network were trained with.

    Grey images get the mean of the channels; without weights, values run from -1 to 1.
    """
    size, channels = architecture.input_size, architecture.channels
    if weights.source == "none":
        half = (0.5,) * channels
        return Preprocess(size, channels, half, half, resize=resize)
    content = preprocessor_of(Path(weights.path or ""))
    mean: tuple[float, ...] = (0.0,) * 3
    std: tuple[float, ...] = (1.0,) * 3
    if content.get("do_normalize", True):
        mean, std = tuple(content["image_mean"]), tuple(content["image_std"])
    if content.get("do_flip_channel_order", False):  # the first layer is turned instead
        mean, std = mean[::-1], std[::-1]
    if len(mean) != channels:
        mean, std = ((sum(values) / len(values),) * channels for values in (mean, std))
    filters: dict[int, Interpolation] = {int(code): key for key, code in FILTERS.items()}
    interpolation = filters.get(content.get("resample", 2), "bilinear")
    return Preprocess(size, channels, mean, std, interpolation, resize)


def preprocessor_of(weights: Path) -> dict[str, Any]:
    """Return the preprocessor's content from the folder of a weights file.

    Raises:
        WeightsError: If it is not there, or does not say it.
    """
    file = weights.with_name(PREPROCESSOR)
    try:
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        is_absent = isinstance(error, FileNotFoundError)
        state = "is not there" if is_absent else f"cannot be read ({reason_of(error)})"
        raise WeightsError(
            f"{file} {state}, so it is not known how the images of these weights were "
            "normalized. Put the file of the repository there, or write it with save_pretrained "
            "of the image processor."
        ) from error
    lacking = {"image_mean", "image_std"} - content.keys()
    if content.get("do_normalize", True) and lacking:
        raise WeightsError(f"{file} has no {' and '.join(sorted(lacking))}. Write them into it.")
    return content


def load_hub(network: HubNetwork, name: str, weights: Weights) -> None:
    """Put weights into a network, except its classifier, adapted to channels and input size.

    transformers reads the file into the network as it was published, which renames what older
    versions named otherwise; every layer of that must be in the file.

    Raises:
        WeightsError: If the file is not there, is another one than recorded, or does not fit.
    """
    path = checked_file(name, weights)
    source = _published(name, path)
    heads = tuple(f"{module}." for module in network._classifiers)
    given = source.state_dict()
    if preprocessor_of(path).get("do_flip_channel_order", False):
        _turn_channels(source)
    state = {}
    for key, fresh in network.network.state_dict().items():
        if key.startswith(heads):
            state[key] = fresh
        elif key not in given:
            raise _misfit(path, name, f"nothing for {key}")
        else:
            state[key] = _adapted(given[key], fresh, path, f"{name}, {key}")
    network.network.load_state_dict(state)


def _found(name: str, source: str) -> Path:
    folder = folder_of(name)
    if folder is not None:
        places = [folder]
    elif source == "pretrained":
        cached = cached_file(name, WEIGHTS)
        if cached is None:
            raise WeightsError(
                f"The weights of {name} are not on this machine. Run 'archfront weights fetch', "
                "or choose weights none."
            )
        places = [cached.parent]
    else:
        repository = repository_of(name)
        root = plain_path(source)
        places = [root / repository, root / repository.replace("/", "--")]
    for place in places:
        if (place / WEIGHTS).is_file():
            return place / WEIGHTS
    raise WeightsError(
        f"There are no weights for {name}: looked for "
        f"{' and '.join(str(place / WEIGHTS) for place in places)}. Put the file there, or choose "
        "weights none."
    )


def _published(name: str, path: Path) -> nn.Module:
    """Return the network as it was published, with all of its weights."""
    from transformers import AutoModelForImageClassification

    config = config_for(name)
    blank = built(name, config, "meta")
    shapes = {key: value.shape for key, value in blank.state_dict().items()}
    try:
        with silent():
            network, info = AutoModelForImageClassification.from_pretrained(
                path.parent,
                config=config,
                local_files_only=True,
                use_safetensors=True,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
    except Exception as error:  # safetensors, transformers and torch each have their own kinds
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise WeightsError(f"{path} cannot be read as weights of {name}: {reason}") from error
    heads = tuple(f"{module}." for module in classifiers_of(name, config, blank))
    wrong = {
        "nothing for": info["missing_keys"],
        "no place for": info["unexpected_keys"],
        "another shape of": [key for key, *_ in info["mismatched_keys"]],
    }
    found = [
        f"{what} {key}"
        for what, keys in wrong.items()
        for key in sorted(keys)
        if not (key in shapes and key.startswith(heads))
    ]
    if found:
        raise _misfit(path, name, "; ".join(found[:N_SHOWN]))
    published: nn.Module = network.float()
    return published


def _adapted(value: torch.Tensor, fresh: torch.Tensor, path: Path, what: str) -> torch.Tensor:
    """Return a weight in the shape of a network of other channels or another input size."""
    if value.shape == fresh.shape:
        return value
    if value.ndim == 4 and value.shape[0] == fresh.shape[0] and fresh.shape[1] == 1:
        return value.sum(dim=1, keepdim=True)  # of the colors, as timm does
    if value.ndim == fresh.ndim == 3 and value.shape[0] == 1:
        for n_prefix in range(3):
            old, new = (round((t.shape[1] - n_prefix) ** 0.5) for t in (value, fresh))
            if old**2 == value.shape[1] - n_prefix and new**2 == fresh.shape[1] - n_prefix:
                positions: torch.Tensor = resample_abs_pos_embed(
                    value, [new, new], num_prefix_tokens=n_prefix
                )
                return positions
    shapes = f"{tuple(value.shape)} to {tuple(fresh.shape)}"
    raise WeightsError(f"{path}: {what} cannot be adapted from {shapes}. Choose weights none.")


def _turn_channels(network: nn.Module) -> None:
    """Let the first convolution take red, green, blue where it took them the other way around."""
    first = next(layer for layer in network.modules() if isinstance(layer, nn.Conv2d))
    with torch.no_grad():
        first.weight.copy_(first.weight.flip(1))


def _misfit(path: Path, name: str, reason: str) -> WeightsError:
    return WeightsError(
        f"{path} does not fit {name}: {reason}. Give the file of this very repository, or choose "
        "weights none."
    )


@contextmanager
def silent() -> Iterator[None]:
    """Keep transformers from drawing progress and from reporting what is reported better here."""
    from transformers.utils import logging as hf_logging

    level, had_bar = hf_logging.get_verbosity(), hf_logging.is_progress_bar_enabled()
    hf_logging.set_verbosity(logging.CRITICAL)
    hf_logging.disable_progress_bar()
    try:
        yield
    finally:
        hf_logging.set_verbosity(level)
        if had_bar:
            hf_logging.enable_progress_bar()


def create_hub(
    name: str,
    *,
    channels: int = USUAL_CHANNELS,
    input_size: int | None = None,
    classes: int = USUAL_CLASSES,
    weights: Weights | None = None,
    dropout: float = 0.0,
    device: str = "cpu",
) -> HubNetwork:
    """Return a network for this image, in training mode.

    Args:
        name: Such as ``hf:microsoft/resnet-50``.
        channels: Channels of the image.
        input_size: Side of the square image; None for the size it was made for.
        classes: Number of classes.
        weights: First weights of all but the classifier; random from torch's seed without.
        dropout: Dropout before the classifier.
        device: ``meta`` has no memory for weights.

    Raises:
        BuildError: If transformers is not there, or does not build it.
        WeightsError: If the weights do not fit.
    """
    try:
        config = config_for(name, channels=channels, input_size=input_size, classes=classes)
        has_dropout = hasattr(config, "classifier_dropout_prob")
        if has_dropout:
            config.classifier_dropout_prob = dropout
        own = built(name, config, device)
        network = HubNetwork(own, classifiers_of(name, config, own))
    except ConfigError as error:
        raise BuildError(str(error)) from error
    if dropout > 0 and not has_dropout:
        _drop(network, name, dropout)
    if weights is not None and weights.source != "none":
        from archfront.trainers.networks.hf.files import load_hub

        load_hub(network, name, weights)
    return network.train()
