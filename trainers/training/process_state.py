"""Contexts for the state of the process that a training sets and restores."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from archfront.trainers.seeds import derive_seed


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Silence what Lightning says about devices, speed and frozen layers."""
    logger = logging.getLogger("pytorch_lightning")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="pytorch_lightning")
            yield
    finally:
        logger.setLevel(level)


@contextmanager
def seeded_torch(seed: int) -> Iterator[None]:
    """Seed torch's generators from the training's seed, and restore their states afterwards."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(derive_seed(seed))
        yield


@contextmanager
def intra_op_threads(n: int) -> Iterator[None]:
    """Run torch on ``n`` intra-op threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)
