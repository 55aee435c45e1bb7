"""Where a training stands at the end of a rung: all that carries over to the next one.

Chance is computed from (seed, epoch, step) and the learning rate from its place in the schedule,
so what is left to carry are the weights with their buffers, the optimizer's moments and the curve.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from archfront.trainers.errors import ConfigError, DamagedError, StateError
from archfront.trainers.spec import Architecture, EpochRow, Recipe, TrainSettings, Weights
from archfront.trainers.sums import check_sum
from archfront.trainers.training.kept import Probe

T = TypeVar("T")

UNREADABLE = (
    OSError,
    RuntimeError,
    EOFError,
    pickle.UnpicklingError,
    LookupError,
    ValueError,
    DamagedError,
)
# Settings that may differ between two rungs of one training.
FREE = ("until_epoch", "threads")
# What weights and priors of the classes follow from, which are compared themselves.
SIZES = "class_sizes"
# Left out of the identity with these values, so that the files of earlier versions fit.
PLAIN = {"init": "random", "norms": "train", "ema": 0.0, "share": 1.0, "log_priors": None}

# What a file has beside its curve, and what those of earlier versions have of it.
PARTS = ("state", "optimizer", "average")
NEEDED = ("state", "optimizer")


@dataclass(frozen=True)
class Resumed:
    """A training as it was left.

    Attributes:
        epoch: Epochs that are done.
        rows: Their curve.
        state: The network's state dict, as training goes on from it.
        optimizer: The optimizer's state dict; empty before the first step.
        average: State dict of the averaged weights, where there are some: of what was trained, by
            its names in the whole network.
        probe: What it began with, where that was a probe.
    """

    epoch: int
    rows: tuple[EpochRow, ...]
    state: Mapping[str, Tensor]
    optimizer: Mapping[str, Any]
    average: Mapping[str, Tensor] = field(default_factory=dict)
    probe: Probe | None = None

    def average_of(self, part: nn.Module, network: nn.Module) -> dict[str, Tensor]:
        """Return the state dict of the averaged weights of what is trained further.

        That is a head alone where there is room for the features of a frozen backbone, which may
        be another one than before.

        Args:
            part: What is trained: the network or its head.
            network: The whole network, as it was left.

        Raises:
            StateError: If it is of a head, by names that do not say where in the network it is.
        """
        names = {name: name for name in part.state_dict()}
        whole = {**network.state_dict(), **self.average}
        if self.average.keys() == names.keys():  # earlier files have a head's own names
            return dict(self.average)
        if whole.keys() != network.state_dict().keys():
            raise StateError("The averaged weights are of a head alone. Train from the start.")
        return {
            name: whole[at] for at, name in whole_names(names, prefix_of(part, network)).items()
        }


def prefix_of(part: nn.Module, network: nn.Module) -> str:
    """Return the name of a part of a network; empty for the network itself."""
    (name,) = (str(name) for name, module in network.named_modules() if module is part)
    return name


def whole_names(state: Mapping[str, T], prefix: str) -> dict[str, T]:
    """Return what is known of a part of a network by its names in the whole network."""
    return {f"{prefix}.{name}".lstrip("."): value for name, value in state.items()}


def identity_of(
    architecture: Architecture, weights: Weights, recipe: Recipe, settings: TrainSettings
) -> dict[str, Any]:
    """Return the content that is the same above and below a rung, as plain JSON."""
    own = {k: v for k, v in asdict(settings).items() if k not in PLAIN or v != PLAIN[k]}
    content = {
        "architecture": architecture.as_dict(),
        "weights": [weights.source, weights.tag, weights.sha256],
        "recipe": recipe.as_dict(),
        "settings": {name: value for name, value in own.items() if name not in (*FREE, SIZES)},
    }
    plain: dict[str, Any] = json.loads(json.dumps(content))
    return plain


def write_resume(path: Path, identity: Mapping[str, Any], left: Resumed) -> None:
    """Write a training as it stands.

    Args:
        path: File to write.
        identity: What ``identity_of`` gives.
        left: How it is left.
    """
    about = json.dumps({"question": identity, "rows": [asdict(row) for row in left.rows]})
    parts = {name: dict(getattr(left, name)) for name in PARTS}
    if left.probe is not None:
        parts["probe"] = left.probe.packed()
    torch.save({"about": about, **parts}, path)


def read_resume(path: Path, identity: Mapping[str, Any]) -> Resumed:
    """Return a training as it was left; no code in the file is ever run.

    Raises:
        StateError: If the file is not there, cannot be read or is not as it was written.
        ConfigError: If it is of another training.
    """
    try:
        check_sum(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
        about = json.loads(content["about"])
        rows = tuple(EpochRow(**row) for row in about["rows"])
        parts = {name: content[name] for name in PARTS if name in content or name in NEEDED}
        packed = content.get("probe")
        probe = None if packed is None else Probe.unpacked(rows[0], packed)
        left = Resumed(rows[-1].epoch, rows, **parts, probe=probe)
    except UNREADABLE as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise StateError(
            f"{path} cannot be read as the state of a training: {reason}. Train from the start."
        ) from error
    differing = [name for name in identity if identity[name] != about["question"].get(name)]
    if differing:
        raise ConfigError(
            f"{path} is of another training: {', '.join(differing)} differ. Give the file of this "
            "one's rung below, or train from the start."
        )
    return left
