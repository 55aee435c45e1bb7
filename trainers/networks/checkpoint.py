"""Weights from a file into a timm network: all of them, or an error."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from textwrap import shorten
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from timm.models import load_state_dict
from torch import Tensor, nn

from archfront.trainers.errors import BuildError, WeightsError
from archfront.trainers.networks.hub_files import fetched_when_needed
from archfront.trainers.spec import Weights
from archfront.trainers.sums import check_sum, sha256_of
from archfront.trainers.words import count_of

N_SHOWN = 4
LINE_WIDTH = 160
Build = Callable[..., nn.Module]


def load_trained(model: nn.Module, weights_file: Path) -> None:
    """Load what ``train`` saved into a network of the same architecture.

    Raises:
        WeightsError: If the file is not there or is of another network.
        DamagedError: If the file is not as it was saved.
    """
    try:
        check_sum(weights_file)
        model.load_state_dict(load_file(weights_file))
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{weights_file} cannot be read as weights: {error}.") from error
    except RuntimeError as error:
        raise WeightsError(
            f"{weights_file} does not fit the network. Was it saved for another architecture? "
            f"{error}"
        ) from error


def create_with_weights(name: str, weights: Weights, build: Build) -> nn.Module:
    """Return a network whose every layer but the classifier comes from the file.

    Args:
        name: timm model name, for messages.
        weights: The file and its hash.
        build: Makes the network; takes further arguments of ``timm.create_model``.

    Raises:
        BuildError: If the network cannot be built even without weights.
        WeightsError: If the file is not there, is another one than recorded, or does not fit.
    """
    return load_into(name, checked_file(name, weights), build)


def checked_file(name: str, weights: Weights) -> Path:
    """Return the file of weights, which is the one that was recorded.

    Pretrained weights that were not on this machine when the study began are fetched now.

    Raises:
        WeightsError: If it is not there, or is another one.
    """
    path = fetched_when_needed(name) if weights.path is None else Path(weights.path)
    if not path.is_file():
        raise WeightsError(
            f"The weights of {name} are not at {path} any more. Put them back, or run "
            "'archfront weights fetch' for timm's own."
        )
    if weights.sha256 is not None and sha256_of(path) != weights.sha256:
        raise WeightsError(
            f"{path} has changed: its SHA-256 is no longer {weights.sha256[:12]}…. "
            "Put the old file back, or begin a new study."
        )
    return path


def load_into(name: str, path: Path, build: Build, device: str = "cpu") -> nn.Module:
    """Return the network with the file's weights, adapted by timm to channels and size.

    Built twice from the same chance: the first time for the fresh classifier, which goes into
    the file's place, so that timm loads strictly; and for a look at what was not replaced,
    where timm is not strict.

    Args:
        name: timm model name, for messages.
        path: A safetensors or torch file.
        build: Makes the network on ``device``.
        device: ``meta`` compares names and shapes only.

    Raises:
        WeightsError: If a layer is missing, foreign or of another shape.
    """
    state = read_state(path, device)
    chance = torch.get_rng_state()
    fresh = build()
    torch.set_rng_state(chance)
    heads = _classifier_keys(fresh)
    for key in heads:
        state.pop(key, None)
    state.update({key: value for key, value in fresh.state_dict().items() if key in heads})
    overlay: dict[str, Any] = {"state_dict": state, "label_offset": 0}
    if hasattr(fresh, "num_classes"):
        overlay["num_classes"] = fresh.num_classes
    try:
        with warnings.catch_warnings():
            # Old files lack the norms' counters; torch adds real ones even on the meta device.
            warnings.filterwarnings("ignore", "(?s).*copying from a non-meta parameter")
            network = build(pretrained=True, pretrained_cfg_overlay=overlay)
    except BuildError as error:
        raise _misfit(name, path, str(error.__cause__ or error)) from error
    # timm keeps the overlay, and with it a second copy of all weights.
    cast("Any", network).pretrained_cfg.pop("state_dict", None)
    left = [] if device == "meta" else _left_random(fresh, network, heads)
    if left:
        raise _misfit(name, path, f"nothing for {', '.join(left[:N_SHOWN])}")
    return network


def read_state(path: Path, device: str = "cpu") -> dict[str, Tensor]:
    """Return the tensors of a file by their names; no code in it is ever run.

    Raises:
        WeightsError: If it cannot be read.
    """
    try:
        if device == "meta" and path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                slices = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118 - no mapping
                return {
                    key: torch.empty(tuple(part.get_shape()), device="meta")
                    for key, part in slices.items()
                }
        state = load_state_dict(str(path), device=device, weights_only=True)
    except (
        OSError,
        RuntimeError,
        SafetensorError,
        pickle.UnpicklingError,
        EOFError,
        AttributeError,
    ) as error:
        raise WeightsError(f"{path} cannot be read as weights: {_first_line(error)}") from error
    if not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{path} holds other things than tensors; save a state_dict instead.")
    return dict(state)


def _classifier_keys(network: nn.Module) -> set[str]:
    cfg = getattr(network, "pretrained_cfg", {})
    names = cfg.get("classifier") or ()
    layers = (names,) if isinstance(names, str) else names
    return {f"{layer}.{part}" for layer in layers for part in ("weight", "bias")}


def _left_random(fresh: nn.Module, network: nn.Module, heads: set[str]) -> list[str]:
    """Return the layers that are, to the bit, what chance made them.

    Constants (norms, biases) say nothing and are passed over.
    """
    loaded = dict(network.named_parameters())
    return [
        key
        for key, value in fresh.named_parameters()
        if key not in heads
        and value.requires_grad
        and value.numel() > 1
        and bool((value != value.flatten()[0]).any())
        and torch.equal(value, loaded[key])
    ]


def _misfit(name: str, path: Path, reason: str) -> WeightsError:
    lines = [line.strip() for line in reason.strip().splitlines() if line.strip()]
    shown = " ".join(shorten(line, LINE_WIDTH, placeholder=" …") for line in lines[:N_SHOWN])
    n_more = len(lines) - N_SHOWN
    more = f" And {count_of(n_more, 'more problem')}." if n_more > 0 else ""
    return WeightsError(
        f"{path} does not fit {name}: {shown.rstrip('.')}.{more} Give the file that timm saved "
        "for this very model, or choose weights none."
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
