"""The axes of a space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from archfront.search.catalog import Backbone
from archfront.search.space.decoders import FIXED, Decoders


class Suggester(Protocol):
    """The part of Optuna's ``Trial`` that ``Space.suggest`` uses."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Return one of the choices."""

    def suggest_int(self, name: str, low: int, high: int) -> int:
        """Return a whole number between both ends."""


@dataclass(frozen=True)
class Axes:
    """The heads, sizes and decoders that one backbone can be combined with.

    Attributes:
        backbone: Its row of the catalog.
        heads: Heads that it carries.
        input_sizes: Sides of the input that it takes.
        decoders: The open choices of each head; a head without any may be missing.
    """

    backbone: Backbone
    heads: tuple[str, ...]
    input_sizes: tuple[int, ...]
    decoders: Mapping[str, Decoders] = field(default_factory=dict)

    def of(self, head: str) -> Decoders:
        """Return the open choices of a head."""
        return self.decoders.get(head, FIXED)
