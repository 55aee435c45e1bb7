"""The table of rules, and their effect on a configuration."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

from archfront.search.config.option_types import AUTO, OFF
from archfront.search.config.schema import Config
from archfront.search.config.settings import with_metric
from archfront.search.prepare.rules.balance import balance
from archfront.search.prepare.rules.crowding import crowding
from archfront.search.prepare.rules.facts import Facts
from archfront.search.prepare.rules.few_images import few_images
from archfront.search.prepare.rules.folds import folds
from archfront.search.prepare.rules.object_size import object_size
from archfront.search.prepare.rules.rule import Effect, Rule
from archfront.search.prepare.rules.symmetry import symmetry
from archfront.search.records.applied_rule import AppliedRule, Choice
from archfront.trainers.words import join_words

RULES = (
    Rule("balance", balance, "Menon et al. 2021, section 3; Cui et al. 2019"),
    Rule("object_size", object_size, "a map has one place for what is smaller than its cell"),
    Rule("crowding", crowding, "Lin et al. 2014 (COCO), whose metric counts 100 of an image"),
    Rule(
        "few_images", few_images, "Brigato et al. 2022 (Image classification with small datasets)"
    ),
    Rule(
        "symmetry",
        symmetry,
        "Chen et al. 2020 (A group-theoretic framework for data augmentation), section 4",
    ),
    Rule("folds", folds, "Kohavi 1995 (A study of cross-validation and bootstrap)"),
)


@dataclass(frozen=True)
class Ruled:
    """A configuration after the rules, and those of them that had something to say."""

    config: Config
    applied: tuple[AppliedRule, ...] = ()

    @property
    def lines(self) -> list[str]:
        """Return what the rules say, a line each."""
        return [rule.line for rule in self.applied]


def apply_rules(config: Config, facts: Facts) -> Ruled:
    """Return a configuration with what the rules choose in the place of ``auto``.

    A metric that is still open then is the first one of the task.

    Args:
        config: The configuration, whose ``space.rules`` may leave rules out.
        facts: What was measured of the data.
    """
    applied = []
    for rule in RULES:
        effect = None
        if getattr(config.space.rules, rule.name) != OFF:
            effect = rule.find(facts, config)
        if effect is not None:
            found = _applied(rule, effect, config)
            config = reduce(lambda c, one: _with_value(c, *one), found.values.items(), config)
            applied.append(found)
    return Ruled(with_metric(config), tuple(applied))


def space_values(applied: tuple[AppliedRule, ...]) -> dict[str, Choice]:
    """Return what rules chose for options of the space, by their path below ``space``."""
    values: dict[str, Choice] = {}
    for rule in applied:
        values |= {
            path.removeprefix(SPACE): value
            for path, value in rule.values.items()
            if path.startswith(SPACE)
        }
    return values


SPACE = "space."


def _applied(rule: Rule, effect: Effect, config: Config) -> AppliedRule:
    """Return what comes of a rule's effect: the options that are open take its values."""
    taken, kept = {}, []
    for path, value in effect.values.items():
        given = _value(config, path)
        if given == AUTO:
            taken[path] = value
        else:
            kept.append(f"{path}={_word(given)} was given and stays")
    texts = [f"{path}={_word(value)}" for path, value in taken.items()]
    texts += [text for text in (*kept, effect.words) if text]
    return AppliedRule(rule.name, effect.measured, join_words(texts), rule.source, taken)


def _value(config: Any, path: str) -> Any:
    return reduce(getattr, path.split("."), config)


def _with_value(config: Any, path: str, value: Choice) -> Any:
    name, _, rest = path.partition(".")
    inner = _with_value(getattr(config, name), rest, value) if rest else value
    return replace(config, **{name: inner})


def _word(value: Any) -> str:
    """Return a value as a command line has it."""
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return str(value)
