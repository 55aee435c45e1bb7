"""The contract of a rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from archfront.search.config.schema import Config
from archfront.search.prepare.rules.facts import Facts
from archfront.search.records.applied_rule import Choices


@dataclass(frozen=True)
class Effect:
    """What a rule found, and what it would choose.

    Attributes:
        measured: What was measured, in words with numbers.
        values: What it chooses for options that are ``auto``, by their path; an option with a
            value keeps it.
        words: What follows beside the options, in words; empty for nothing.
    """

    measured: str
    values: Choices = field(default_factory=dict)
    words: str = ""


Find = Callable[[Facts, Config], Effect | None]


@dataclass(frozen=True)
class Rule:
    """A named rule.

    Attributes:
        name: By which ``space.rules`` leaves it out.
        find: Returns its effect; None where it has nothing to say of the data.
        source: Where it comes from.
    """

    name: str
    find: Find
    source: str
