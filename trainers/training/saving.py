"""Files of a training, each written whole or not at all, with its checksum."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from archfront.trainers.files import replacing
from archfront.trainers.spec import EpochRow
from archfront.trainers.sums import write_sum
from archfront.trainers.tasks.protocol import SavedPredictions
from archfront.trainers.training.kept import Probe
from archfront.trainers.training.module import TrainingModule
from archfront.trainers.training.resume import Resumed, prefix_of, whole_names, write_resume


def save_predictions(path: Path, saved: SavedPredictions) -> Path:
    """Write saved predictions, whole or not at all, and return the file."""
    with replacing(path) as written, written.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **saved)
    write_sum(path)
    return path


def save_weights(path: Path, model: nn.Module) -> Path:
    """Write the state of a network, and return the file."""
    # Copies, since safetensors refuses layers that share their weights.
    state = {
        name: value.cpu().clone(memory_format=torch.contiguous_format)
        for name, value in model.state_dict().items()
    }
    with replacing(path) as written:
        save_file(state, written)
    write_sum(path)
    return path


def save_resume(
    path: Path,
    identity: Mapping[str, Any],
    curve: tuple[EpochRow, ...],
    module: TrainingModule,
    model: nn.Module,
    probe: Probe | None,
) -> Path | None:
    """Save what the training goes on from; None where it is at its end."""
    settings = module.plan.settings
    if settings.until_epoch == settings.horizon:
        return None
    # The evaluated network has other norms than the trained one, which may be a head alone.
    prefix = prefix_of(module.model, model)
    average, optimizer = {}, {}
    carried = whole_names(module.carried, prefix)
    if curve[-1].epoch > 0:
        optimizer = module.trainer.optimizers[0].state_dict()
        if module.average is not None:
            mine = whole_names(module.average.network.state_dict(), prefix)
            average, carried = {**mine, **carried}, {}
    state = {**model.state_dict(), **carried}
    with replacing(path) as written:
        left = Resumed(curve[-1].epoch, curve, state, optimizer, average, probe)
        write_resume(written, identity, left)
    write_sum(path)
    return path
