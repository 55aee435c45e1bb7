"""What a training may give as its result: an epoch, and the probe that it began with."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from archfront.trainers.spec import EpochRow
from archfront.trainers.tasks.protocol import SavedPredictions


@dataclass(frozen=True, eq=False)
class Kept:
    """The epoch that a result is of.

    Attributes:
        row: Its row of the curve.
        predictions: What its evaluator saved.
    """

    row: EpochRow
    predictions: SavedPredictions


@dataclass(frozen=True, eq=False)
class Probe:
    """A network whose head was solved on the features of its frozen backbone.

    Attributes:
        kept: Its epoch, 0.
        head: What it changed in the state of the network with its first weights.
        knn: How well the nearest neighbors' targets fit; None where the head was not solved.
    """

    kept: Kept
    head: Mapping[str, Tensor]
    knn: float | None

    def packed(self) -> dict[str, Any]:
        """Return everything but the row as tensors and numbers."""
        file = io.BytesIO()
        np.savez_compressed(file, allow_pickle=False, **self.kept.predictions)
        predictions = torch.frombuffer(bytearray(file.getvalue()), dtype=torch.uint8)
        return {"head": dict(self.head), "predictions": predictions, "knn": self.knn}

    @classmethod
    def unpacked(cls, row: EpochRow, content: Mapping[str, Any]) -> Probe:
        """Return what ``packed`` packed, with its row."""
        with np.load(io.BytesIO(content["predictions"].numpy().tobytes())) as saved:
            return cls(Kept(row, dict(saved)), content["head"], content["knn"])
