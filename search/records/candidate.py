"""A candidate: one architecture with its first weights and its recipe."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from archfront.trainers.spec import Architecture, Recipe, Weights

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


def canonical_json(value: Any) -> str:
    """Return JSON with sorted keys and no spaces, the same text for equal values."""
    return _CANONICAL.encode(value)


def short_hash(value: Any) -> str:
    """Return the first 12 hexadecimal digits of the SHA-256 of the canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Candidate:
    """One point of the search space.

    ``id`` hashes everything that changes the trained model (the weights by tag and hash, not by
    path); ``architecture_id`` what changes its latency.
    """

    architecture: Architecture
    weights: Weights
    recipe: Recipe

    @cached_property
    def id(self) -> str:
        """Return the hash of everything that changes the trained model."""
        content = self.as_dict()
        del content["weights"]["path"]
        return short_hash(content)

    @cached_property
    def architecture_id(self) -> str:
        """Return the hash of everything that changes the latency."""
        return short_hash(self.architecture.as_dict())

    @property
    def label(self) -> str:
        """Return a name for people, as ``resnet18@64 avg`` or ``resnet18@256 fpn yolo w64``."""
        a = self.architecture
        return f"{a.backbone}@{a.input_size} {a.top}"

    def recipe_text(self, axes: Sequence[str] | None = None) -> str:
        """Return axes of the recipe for people, as ``lr 0.003, augment light``; all when None."""
        names = self.recipe.as_dict() if axes is None else axes
        return ", ".join(f"{axis} {getattr(self.recipe, axis)}" for axis in names)

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON content; ``decode`` gives the equal candidate back."""
        # As ``encode`` would return it, in a tenth of the time: thousands of ids are made of it.
        return {
            "architecture": self.architecture.as_dict(),
            "weights": dict(vars(self.weights)),
            "recipe": self.recipe.as_dict(),
        }
