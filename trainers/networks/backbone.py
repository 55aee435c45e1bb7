"""timm networks behind one door: built at a size, proven by a forward pass, or a BuildError."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import wraps
from typing import Any, TypeVar, cast

import timm
import torch
from timm.models.efficientnet import EfficientNetFeatures
from timm.models.mobilenetv3 import MobileNetV3Features
from torch import nn

from archfront.trainers.data.preprocess import FILTERS, Interpolation, Preprocess, Resize
from archfront.trainers.errors import BuildError, is_out_of_memory
from archfront.trainers.networks.checkpoint import create_with_weights
from archfront.trainers.networks.hf.names import is_hub
from archfront.trainers.networks.undrawn import Undrawn
from archfront.trainers.spec import Architecture, Weights

RANDOM = Weights()
Seen = TypeVar("Seen")


class Pyramid(nn.Module):
    """A backbone that gives its feature maps, finest first.

    Attributes:
        channels: Channels of each level.
        strides: Pixels of the image per pixel of the level, so that it is ``(N, C, H/s, W/s)``
            (rounded up where the side is no multiple).
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        info = cast("Any", network).feature_info
        self.channels: tuple[int, ...] = tuple(info.channels())
        self.strides: tuple[int, ...] = tuple(info.reduction())

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Return one map per level; channels-last networks are turned."""
        maps: list[torch.Tensor] = self.network(images)
        turned = getattr(self.network, "output_fmt", None) == "NHWC"
        return [level.permute(0, 3, 1, 2).contiguous() if turned else level for level in maps]


def build_backbone(
    name: str, *, channels: int, input_size: int, weights: Weights = RANDOM, **options: Any
) -> Pyramid:
    """Return the feature pyramid of a timm model.

    Args:
        name: timm model name without a tag.
        channels: Channels of the image, 1 or 3.
        input_size: Side of the square image in pixels.
        weights: First weights; what is random comes from torch's seed.
        options: Passed on to ``timm.create_model``, such as ``out_indices``.

    Raises:
        BuildError: If there is no such model, or it gives no pyramid at this size.
        WeightsError: If the weights do not fit.
    """
    network = create(
        name,
        channels=channels,
        input_size=input_size,
        weights=weights,
        features_only=True,
        **options,
    )
    _drop_unused(network)
    pyramid = Pyramid(network)
    maps = run_once(pyramid, name, channels=channels, input_size=input_size)
    for level, width, stride in zip(maps, pyramid.channels, pyramid.strides, strict=True):
        side = -(-input_size // stride)
        if tuple(level.shape[1:]) != (width, side, side):
            raise BuildError(
                f"{name} at {input_size} px: the level of stride {stride} should be "
                f"{(width, side, side)} and is {tuple(level.shape[1:])}. "
                f"Choose an input size that is a multiple of {max(pyramid.strides)}."
            )
    return pyramid


def remembered(look: Callable[[str], Seen]) -> Callable[[str], Seen]:
    """Return a look at a network, of a timm name, that builds each network once in a process.

    What cannot be built is tried again. Networks whose building draws from torch's seed even on
    meta, as EfficientNet's, are built each time, so that the seed moves on alike in every process.
    """
    known: dict[str, Seen] = {}

    @wraps(look)
    def looked(name: str) -> Seen:
        if name in known:
            return known[name]
        chance = torch.get_rng_state()
        seen = look(name)
        if torch.equal(chance, torch.get_rng_state()):
            known[name] = seen
        return seen

    return looked


def family_and_strides(name: str) -> tuple[str, tuple[int, ...]]:
    """Return the timm module that defines a model, and the strides of its maps; none without.

    Built without memory for its weights, at the size that it was made for.

    Raises:
        BuildError: If there is no such model.
    """
    family = _family_of(name)
    try:
        return family, maps_of(name)[0]
    except BuildError:
        return family, ()


@remembered
def _family_of(name: str) -> str:
    create(name, channels=3, input_size=None, device="meta")
    family: str = timm.model_entrypoint(name).__module__.rpartition(".")[2]
    return family


@remembered
def maps_of(name: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the strides of the maps of a timm model, and timm's indices of the maps.

    Raises:
        BuildError: If there is no such model, or it gives no maps.
    """
    network = create(name, channels=3, input_size=None, device="meta", features_only=True)
    info = cast("Any", network).feature_info
    return tuple(info.reduction()), tuple(info.out_indices)


def create(
    name: str, *, channels: int, input_size: int | None, weights: Weights = RANDOM, **options: Any
) -> nn.Module:
    """Return a timm network for this image, in training mode.

    Args:
        name: timm model name without a tag.
        channels: Channels of the image, 1 or 3.
        input_size: Side of the square image; None for the size the model was made for.
        weights: First weights.
        options: Passed on to ``timm.create_model``.

    Raises:
        BuildError: If there is no such model or it refuses.
        WeightsError: If the weights do not fit.
    """
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise BuildError(
            f"timm {timm.__version__} has no model {name!r}.{hint} "
            "Names are timm's, without a pretrained tag."
        )
    options = {"in_chans": channels, **size_option(name, input_size), **options}
    if weights.source == "none":
        network = _create(name, input_size, options)
    else:
        with _quiet_timm():
            network = create_with_weights(
                name, weights, lambda **extra: _create(name, input_size, {**options, **extra})
            )
    _check_patches(network, name, input_size)
    return network


def preprocess_for(
    architecture: Architecture, weights: Weights, resize: Resize = "squash"
) -> Preprocess:
    """Return the preprocessing of images for this network.

    With weights the normalization is the one they were trained with, grey images getting the
    mean of the channels; without, values run from -1 to 1.
    """
    if is_hub(architecture.backbone):
        from archfront.trainers.networks.hf.files import hub_preprocess

        return hub_preprocess(architecture, weights, resize)
    cfg = None if weights.source == "none" else pretrained_cfg(architecture.backbone, weights.tag)
    if cfg is None:
        half = (0.5,) * architecture.channels
        return Preprocess(
            architecture.input_size, architecture.channels, half, half, resize=resize
        )
    mean, std = tuple(cfg.mean), tuple(cfg.std)
    if len(mean) != architecture.channels:
        mean, std = (
            (sum(values) / len(values),) * architecture.channels for values in (mean, std)
        )
    interpolation: Interpolation = (
        cfg.interpolation if cfg.interpolation in FILTERS else "bilinear"
    )
    return Preprocess(
        architecture.input_size, architecture.channels, mean, std, interpolation, resize
    )


def pretrained_cfg(name: str, tag: str | None) -> Any:
    """Return timm's record of a model's weights; of the default ones where the tag is no tag."""
    is_known = f"{name}.{tag}" in timm.list_pretrained(f"{name}.*")
    return timm.get_pretrained_cfg(f"{name}.{tag}" if is_known else name)


def run_once(
    model: nn.Module, name: str, *, channels: int, input_size: int, device: str = "cpu"
) -> Any:
    """Return the outputs of the network for one black image, in evaluation mode.

    Raises:
        BuildError: If the network cannot take an image of this size.
    """
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            return model(torch.zeros(1, channels, input_size, input_size, device=device))
    except Exception as error:  # a hundred model files refuse in their own ways
        if is_out_of_memory(error):
            raise
        raise _refused(name, input_size, error) from error
    finally:
        model.train(was_training)


def _drop_unused(network: nn.Module) -> None:
    """Drop the stages behind the last map, where timm does not do so itself."""
    if isinstance(network, EfficientNetFeatures | MobileNetV3Features):
        parts = cast("Any", network)
        if parts.feature_hooks is None:
            parts.blocks = parts.blocks[: max(parts._stage_out_idx)]


def _create(name: str, input_size: int | None, options: dict[str, Any]) -> nn.Module:
    is_drawn = str(options.get("device")) != "meta"
    try:
        with nullcontext() if is_drawn else Undrawn():
            return cast("nn.Module", timm.create_model(name, **options))
    except Exception as error:  # as above
        if is_out_of_memory(error):
            raise
        raise _refused(name, input_size, error) from error


@contextmanager
def _quiet_timm() -> Iterator[None]:
    """Silence timm about weights of the classifier, which a network of feature maps has not."""
    logger = logging.getLogger("timm.models")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def size_option(name: str, input_size: int | None) -> dict[str, int]:
    """Return ``img_size`` for the models that are built for one size, as timm's records say."""
    cfg = timm.get_pretrained_cfg(name)
    if input_size is None or cfg is None or not cfg.fixed_input_size:
        return {}
    return {"img_size": input_size}


def _check_patches(network: nn.Module, name: str, input_size: int | None) -> None:
    """Refuse sizes at which the patches would leave out the image's last rows."""
    patch = getattr(getattr(network, "patch_embed", None), "patch_size", None)
    side = max(patch) if isinstance(patch, tuple) else patch
    if input_size is not None and isinstance(side, int) and input_size % side:
        raise BuildError(
            f"{name} at {input_size} px: it cuts the image into patches of {side} px, which do "
            f"not fill it. Choose a multiple of {side}."
        )


def _refused(name: str, input_size: int | None, error: Exception) -> BuildError:
    first_line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    reason = first_line.rstrip(".")
    size = "" if input_size is None else f" at {input_size} px"
    return BuildError(
        f"{name}{size} cannot be built: {reason}. "
        "Choose another input size or head, or leave this backbone out of the space."
    )
