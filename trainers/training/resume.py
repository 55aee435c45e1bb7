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
from typing import Any

import torch
from torch import Tensor

from archfront.trainers.errors import ConfigError, DamagedError, StateError
from archfront.trainers.spec import Architecture, EpochRow, Recipe, TrainSettings, Weights
from archfront.trainers.sums import check_sum
from archfront.trainers.training.kept import Probe

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
        average: State dict of the averaged network, where there is one.
        probe: What it began with, where that was a probe.
    """

    epoch: int
    rows: tuple[EpochRow, ...]
    state: Mapping[str, Tensor]
    optimizer: Mapping[str, Any]
    average: Mapping[str, Tensor] = field(default_factory=dict)
    probe: Probe | None = None


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
