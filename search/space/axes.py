"""The axes of a space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from archfront.search.catalog import Backbone
from archfront.search.space.decoders import FIXED, Decoders


class Suggester(Protocol):
    """What ``Space.suggest`` asks; Optuna's ``Trial`` is one."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Return one of the choices."""

    def suggest_int(self, name: str, low: int, high: int) -> int:
        """Return a whole number between both ends."""


@dataclass(frozen=True)
class Axes:
    """What one backbone can be combined with.

    Attributes:
        backbone: Its row of the catalog.
        heads: Heads that it carries.
        input_sizes: Sides of the input that it takes.
        decoders: What each head leaves open; a head that leaves nothing open may be missing.
    """

    backbone: Backbone
    heads: tuple[str, ...]
    input_sizes: tuple[int, ...]
    decoders: Mapping[str, Decoders] = field(default_factory=dict)

    def of(self, head: str) -> Decoders:
        """Return what a head leaves open."""
        return self.decoders.get(head, FIXED)
