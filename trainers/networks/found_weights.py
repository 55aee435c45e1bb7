"""What was found of weights: on this machine, and on the hub. Needs neither torch nor timm."""

from __future__ import annotations

from dataclasses import dataclass, field

from archfront.trainers.spec import Weights


@dataclass(frozen=True)
class Resolution:
    """Weights found for a set of backbones.

    Attributes:
        weights: By backbone, each file read, hashed and compared with its network.
        missing: The reason by backbone, a complete sentence or two.
        absent: Those of the missing ones that are published and could be fetched.
        unpublished: Backbones that nobody publishes weights of, where those are asked for.
    """

    weights: dict[str, Weights]
    missing: dict[str, str]
    absent: tuple[str, ...] = ()
    unpublished: tuple[str, ...] = ()


@dataclass(frozen=True)
class OnHub:
    """Answers of the hub about weights that are not on this machine.

    Attributes:
        weights: By backbone, with the tag and the hash that the hub publishes, without a path.
        mb: Size of each file.
        missing: The reason why others are not to be had, a complete sentence.
        offline: Why the hub cannot be reached; None where it can.
    """

    weights: dict[str, Weights] = field(default_factory=dict)
    mb: dict[str, float] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    offline: str | None = None
