"""What a rule found in the data of a study, and what followed from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

# The value of an option that a rule or the data chose.
Choice = tuple[int | float | bool | str, ...] | int | float | str
Choices = Mapping[str, Choice]


@dataclass(frozen=True)
class AppliedRule:
    """One rule that had something to say.

    Attributes:
        name: Of the rule; ``space.rules.NAME=off`` leaves it out.
        measured: What was measured of the data, in words with numbers.
        consequence: What followed from it, in words.
        source: Where the rule comes from.
        values: Options that it set, by their path.
    """

    name: str
    measured: str
    consequence: str
    source: str
    values: dict[str, Choice] = field(default_factory=dict)

    @property
    def line(self) -> str:
        """Return the rule in a line."""
        return (
            f"rule      {self.name}: {self.measured}: {self.consequence} "
            f"({self.source}; space.rules.{self.name}=off)"
        )
