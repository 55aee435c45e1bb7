"""Every rule: an option of its own, what it says and sets, and that both can be overridden."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import pytest

from archfront.search.config.build import build, differences
from archfront.search.config.schema import Config
from archfront.search.config.settings import with_metric
from archfront.search.config.space_options import RulesConfig
from archfront.search.prepare.rules.facts import Facts
from archfront.search.prepare.rules.rule import Rule
from archfront.search.prepare.rules.rule_table import RULES, apply_rules, space_values
from archfront.search.prepare.rules.symmetry import flips_of
from archfront.search.records.applied_rule import AppliedRule
from archfront.search.records.codec import decode, encode
from archfront.trainers.dataset_summary import Symmetries, Told
from tests.support.configurations import changed

EVEN = {"cat": 500, "dog": 500}
PLAIN = Facts(5000, EVEN, "images", 64.0)
OPEN = {
    "task__metric": "auto",
    "space__recipe__loss": "auto",
    "space__rules__object_size": "auto",
    "space__rules__few_images": "auto",
}

DENSE = {
    "task__name": "detection",
    "task__metric": "map",
    "task__loss": "own",
    "data__reader": "coco",
    "data__root": "/nowhere",
    "space__heads": ["yolo", "fcos"],
    "space__input_sizes": "auto",
    "space__detections": "auto",
}


@dataclass(frozen=True)
class Case:
    """Data that a rule has something to say of, and what it sets.

    Attributes:
        facts: Of the data.
        values: The options that it sets, by their path.
        given: Options of the configuration, by their path with ``__``.
        kept: Values of the same options that the rule leaves alone.
    """

    facts: Facts
    values: Mapping[str, Any]
    given: Mapping[str, Any] = field(default_factory=dict)
    kept: Mapping[str, Any] = field(default_factory=dict)


def seen(*right: float, n: int = 1000, **of_class: float) -> Symmetries:
    """Return how well the three flips are told; mirroring of some classes of 100 images, too."""
    mirrored, upside_down, transposed = map(Told, right)
    mirrored = replace(mirrored, of_class=of_class)
    return Symmetries(n, dict.fromkeys(of_class, 100), mirrored, upside_down, transposed)


CASES = {
    "balance": Case(
        replace(PLAIN, per_class={"cat": 450, "dog": 9}),
        {
            "task.metric": "balanced_accuracy",
            "space.recipe.loss": ("balanced_softmax", "class_balanced", "plain"),
        },
        kept={"task__metric": "macro_f1", "space__recipe__loss": ["plain"]},
    ),
    "object_size": Case(
        replace(PLAIN, longest=640.0, small_object=0.008),
        {"space.input_sizes": (384, 416, 512, 640, 800, 1024)},
        given=DENSE,
        kept={"space__input_sizes": [256, 512]},
    ),
    "crowding": Case(
        replace(PLAIN, crowd=151.0),
        {"space.detections": 250},
        given=DENSE,
        kept={"space__detections": 100},
    ),
    "few_images": Case(
        replace(PLAIN, n_train=300),
        {
            "space.recipe.augment": ("light", "strong"),
            "space.recipe.weight_decay": (0.05, 0.2),
        },
        given={"space__recipe__augment": "auto", "space__recipe__weight_decay": "auto"},
        kept={"space__recipe__augment": ["none"], "space__recipe__weight_decay": [0.1]},
    ),
    "symmetry": Case(
        replace(PLAIN, symmetries=seen(0.51, 0.97, 0.95)),
        {"space.recipe.flips": ("horizontal",)},
        given={"space__recipe__flips": "auto"},
        kept={"space__recipe__flips": ["usual"]},
    ),
    "folds": Case(
        replace(PLAIN, n_val=99),
        {"budget.folds": 5},
        given={"budget__folds": "auto"},
        kept={"budget__folds": 3},
    ),
}


def config(**leaves: Any) -> Config:
    """Return the digits experiment with every option of a rule open, and with changes."""
    return build(changed(**{**OPEN, **leaves}))


def test_folds_are_for_labels_only() -> None:
    facts = replace(PLAIN, n_val=99)
    (rule,) = (rule for rule in RULES if rule.name == "folds")
    assert rule.find(facts, config()) is not None
    assert rule.find(facts, config(**DENSE)) is None


def test_folds_that_were_declined_judge_nothing() -> None:
    """The line said that members are judged on folds, beside the 0 that stays."""
    (found,) = apply_rules(config(budget__folds=0), replace(PLAIN, n_val=99)).applied
    assert found.consequence == "budget.folds=0 was given and stays"


@pytest.mark.parametrize(
    ("has_own_val", "group", "is_told"),
    [(True, None, True), (True, "stem", False), (False, None, False)],
)
def test_folds_say_that_they_divide_anew_what_the_data_has_divided(
    has_own_val: bool, group: str | None, is_told: bool
) -> None:
    """Patients that the data keeps apart were mixed without a word."""
    facts = replace(PLAIN, n_val=99, has_own_val=has_own_val)
    asked = config(budget__folds="auto", data__group=group)
    (found,) = apply_rules(asked, facts).applied
    assert found.values == {"budget.folds": 5}
    assert ("divided anew, not as the data divides them" in found.consequence) is is_told
    assert ("give data.group=..., or budget.folds=0" in found.consequence) is is_told


def test_every_rule_has_an_option_and_a_case() -> None:
    names = [rule.name for rule in RULES]
    assert names == [item.name for item in fields(RulesConfig)]
    assert names == list(CASES)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
class TestRuleContract:
    def test_it_sets_its_options_and_says_so(self, rule: Rule) -> None:
        case = CASES[rule.name]
        asked = config(**case.given)
        ruled = apply_rules(asked, case.facts)
        (found,) = ruled.applied
        assert (found.name, found.values, found.source) == (rule.name, case.values, rule.source)
        assert any(letter.isdigit() for letter in found.measured)
        assert found.line.startswith(f"rule      {rule.name}: {found.measured}: ")
        assert found.line.endswith(f"({rule.source}; space.rules.{rule.name}=off)")
        for path, value in case.values.items():
            shown = ",".join(map(str, value)) if isinstance(value, tuple) else value
            assert f"{path}={shown}" in found.line
        assert build(json.loads(json.dumps(ruled.config.as_dict()))) == ruled.config
        changes = {line.partition(":")[0] for line in differences(*dicts(asked, ruled.config))}
        assert changes - {"task.metric"} == set(case.values) - {"task.metric"}

    def test_off_leaves_it_out(self, rule: Rule) -> None:
        case = CASES[rule.name]
        asked = config(**case.given, **{f"space__rules__{rule.name}": "off"})
        ruled = apply_rules(asked, case.facts)
        assert ruled.applied == ()
        assert ruled.config == replace(asked, task=with_metric(asked).task)

    def test_options_that_were_given_stay_and_are_named(self, rule: Rule) -> None:
        case = CASES[rule.name]
        asked = config(**{**case.given, **case.kept})
        ruled = apply_rules(asked, case.facts)
        assert ruled.config.space == asked.space
        assert " was given" in ruled.applied[0].consequence
        assert ruled.applied[0].values == {}

    def test_it_says_nothing_of_data_without_the_property(self, rule: Rule) -> None:
        assert apply_rules(config(**CASES[rule.name].given), PLAIN).applied == ()

    def test_it_comes_back_equal_from_json(self, rule: Rule) -> None:
        case = CASES[rule.name]
        (found,) = apply_rules(config(**case.given), case.facts).applied
        assert decode(AppliedRule, json.loads(json.dumps(encode(found)))) == found
        below = {path.removeprefix("space.") for path in case.values if path.startswith("space.")}
        assert set(space_values((found,))) == below


def dicts(*configs: Config) -> list[dict[str, Any]]:
    return [one.as_dict() for one in configs]


def test_without_a_rule_an_open_metric_is_the_first_of_the_task() -> None:
    assert apply_rules(config(), PLAIN).config.task.metric == "accuracy"


def test_few_images_of_boxes_change_no_recipe() -> None:
    few = replace(PLAIN, n_train=100, small_object=0.5, crowd=3.0)
    assert apply_rules(config(**DENSE, space__recipe__augment="auto"), few).applied == ()


@pytest.mark.parametrize(
    ("symmetries", "flips"),
    [
        (seen(0.5, 0.5, 0.5), "all"),
        (seen(0.52, 0.5, 0.9), "both"),
        (seen(0.52, 0.9, 0.5), "horizontal"),
        (seen(0.7, 0.52, 0.9), "vertical"),
        (seen(0.99, 0.99, 0.99), "none"),
        (seen(0.99, 0.65, 0.9), "none"),  # nobody knows of turning it upside down
        (seen(0.65, 0.5, 0.5), None),
        (seen(0.5, 0.5, 0.5, n=90), None),
        (seen(0.9, 0.9, 0.9, n=40), "none"),
        (seen(0.53, 0.9, 0.9, cat=0.5, arrow=0.95), "none"),  # one class is enough
        (seen(0.5, 0.9, 0.9, cat=0.5, dog=0.65), "horizontal"),  # as one of two is by chance
    ],
)
def test_flips_follow_where_the_whole_interval_is_on_one_side(
    symmetries: Symmetries, flips: str | None
) -> None:
    assert flips_of(symmetries) == flips


def test_a_class_that_decides_is_named_and_no_flips_without_augmentation() -> None:
    facts = replace(PLAIN, symmetries=seen(0.53, 0.9, 0.9, arrow=0.95))
    (found,) = apply_rules(config(space__recipe__flips="auto"), facts).applied
    assert "53% of 1,000 training images are told" in found.measured
    assert "95% of arrow" in found.measured
    plain = config(space__recipe__flips="auto", space__recipe__augment=["none"])
    assert apply_rules(plain, facts).applied == ()


@pytest.mark.parametrize(
    ("objects", "flips", "words"),
    [
        (seen(0.5, 0.5, 0.9, n=400), "both", "50% of 400 objects are told from their mirrored"),
        (seen(0.99, 0.9, 0.9, n=400), "none", "99% of 400 objects are told"),
        (None, None, ""),  # objects that nobody saw may be letters
    ],
)
def test_flips_of_boxes_have_to_be_right_for_images_and_objects(
    objects: Symmetries | None, flips: str | None, words: str
) -> None:
    facts = replace(PLAIN, symmetries=seen(0.5, 0.5, 0.5), object_symmetries=objects)
    applied = apply_rules(config(**DENSE, space__recipe__flips="auto"), facts).applied
    assert [one.values for one in applied] == [{"space.recipe.flips": (flips,)}] * bool(flips)
    assert all(words in one.measured for one in applied)


@pytest.mark.parametrize(
    ("objects", "flips"),
    [
        (seen(0.5, 0.5, 0.5, n=400), "horizontal"),
        (seen(0.65, 0.5, 0.5, n=400), "none"),  # not sure: the images decide
        (seen(0.5, 0.5, 0.5, n=90), "none"),
        (seen(0.5, 0.5, 0.5, n=400, cat=0.5, arrow=0.95), "none"),
        (None, "none"),
    ],
)
def test_objects_that_are_like_their_mirrored_copies_are_mirrored_under_a_lamp(
    objects: Symmetries | None, flips: str
) -> None:
    """Light from one side tells whole images, which once left slides without any flip."""
    assert flips_of(seen(0.92, 0.99, 0.98), objects) == flips


def test_images_that_do_not_show_their_classes_show_no_symmetry() -> None:
    blind = replace(seen(0.5, 0.5, 0.5), class_right=0.26, class_chance=0.25)
    assert flips_of(blind) is None
    assert flips_of(replace(blind, class_right=0.5)) == "all"
