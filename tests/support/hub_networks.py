"""Tiny classifiers of transformers, written as transformers writes them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForImageClassification
from transformers.utils import logging as told

from archfront.trainers.spec import Architecture

TINY: dict[str, dict[str, Any]] = {
    "resnet": {
        "embedding_size": 8,
        "hidden_sizes": [8, 16],
        "depths": [1, 1],
        "layer_type": "basic",
    },
    "vit": {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "patch_size": 8,
        "image_size": 32,
    },
}
PREPROCESSOR = {"image_mean": [0.1, 0.2, 0.6], "image_std": [0.5, 0.5, 0.2], "resample": 3}


def save(folder: Path, kind: str, **changes: Any) -> nn.Module:
    """Write a tiny network as transformers does, and return it."""
    torch.manual_seed(11)
    config = AutoConfig.for_model(kind, **{**TINY[kind], "num_labels": 6, **changes})
    network: nn.Module = AutoModelForImageClassification.from_config(config)
    told.disable_progress_bar()
    network.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR))
    return network.eval()


def architecture(name: str, **changes: Any) -> Architecture:
    """Return a classifier of four classes at 32 pixels, with changes."""
    return replace(Architecture("classification", name, "timm", 32, 4, 3), **changes)
