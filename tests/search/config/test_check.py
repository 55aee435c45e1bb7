"""The check of option by option: what it refuses, and in which words."""

from __future__ import annotations

from typing import Any

import pytest

from archfront.search.config.build import options
from archfront.search.config.schema import LIMITS
from tests.support.configurations import changed, problems

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a name that does not exist": (
        {"budget__trails": 3},
        "budget.trails: no such option. Did you mean budget.trials? Known under budget: "
        "folds, max_failures, max_rejections, minutes, rungs, trial_minutes, trials.",
    ),
    "a name that is meant deeper down": (
        {"latency_ms": 20},
        "latency_ms: no such option. Did you mean hardware.limits.latency_ms? Known at the top: "
        "budget, data, engine, hardware, objectives, sampler, seed, space, study, task, tracking.",
    ),
    "a name that is meant in two places": (
        {"threads": 2},
        "threads: no such option. Did you mean hardware.threads or engine.threads? Known at the "
        "top: budget, data, engine, hardware, objectives, sampler, seed, space, study, task, "
        "tracking.",
    ),
    "a name that is not text": (
        {"sampler": {"name": "tpe", "startup": 3, True: 1}},
        "sampler.True: no such option. Known under sampler: name, startup.",
    ),
    "a value where a group is expected": (
        {"hardware__limits": 3},
        "hardware.limits: a group of options is needed here; got 3.",
    ),
    "nothing where a group is expected": (
        {"data": None},
        "data: a group of options is needed here; got None.",
    ),
    "a group where a value is expected": (
        {"seed": {"x": 1}},
        "seed: a whole number from 0 to 2147483648 is needed; got {'x': 1}.",
    ),
    "a fraction for a whole number": (
        {"task__epochs": 2.5},
        "task.epochs: auto or a whole number from 1 to 10000 is needed; got 2.5.",
    ),
    "a number below its bound": (
        {"task__epochs": 0},
        "task.epochs: auto or a whole number from 1 to 10000 is needed; got 0.",
    ),
    "a number above its bound": (
        {"task__label_smoothing": 0.6},
        "task.label_smoothing: a number from 0 to 0.5 is needed; got 0.6.",
    ),
    "a number below its only bound": (
        {"budget__minutes": -1},
        "budget.minutes: a number of at least 0 or null is needed; got -1.",
    ),
    "a truth value for a number": (
        {"seed": True},
        "seed: a whole number from 0 to 2147483648 is needed; got True.",
    ),
    "a number for a truth value": (
        {"data__download": 1},
        "data.download: true or false is needed; got 1.",
    ),
    "a truth value for text": (
        {"study": True},
        "study: text is needed; got True.",
    ),
    "nothing for text": (
        {"task__metric": None},
        "task.metric: text is needed; got None.",
    ),
    "empty text": (
        {"tracking__experiment": " "},
        "tracking.experiment: text that is not empty is needed; got ' '.",
    ),
    "an empty path": (
        {"tracking__root": ""},
        "tracking.root: a path that is not empty is needed; got ''.",
    ),
    "an empty path that may be null": (
        {"data__root": ""},
        "data.root: a path or null is needed; got ''.",
    ),
    "the home of nobody": (
        {"data__root": "~nobody-has-this-name/x"},
        "data.root: a path is needed, and this user has no home folder; got "
        "'~nobody-has-this-name/x'.",
    ),
    "a name that is not in a table": (
        {"sampler__name": "tpee"},
        "sampler.name: one of front, gp, nsga2, random, tpe is needed (did you mean tpe?); got "
        "'tpee'.",
    ),
    "a word that is not among the choices": (
        {"task__schedule": "onecycle"},
        "task.schedule: one of auto, one_cycle, cosine is needed (did you mean one_cycle?); got "
        "'onecycle'.",
    ),
    "a truth value among number choices": (
        {"data__channels": True},
        "data.channels: one of 1, 3 or null is needed; got True.",
    ),
    "a wrong value in a list": (
        {"space__recipe__lr": [0.1, "fast"]},
        "space.recipe.lr: a number from 1e-08 to 10 is needed; got [0.1, 'fast'].",
    ),
    "a list in a list": (
        {"space__input_sizes": [[32]]},
        "space.input_sizes: a whole number from 4 to 4096 is needed; got [[32]].",
    ),
    "an empty list where auto is allowed": (
        {"space__input_sizes": []},
        "space.input_sizes: auto or a list, each a whole number from 4 to 4096 with at least one "
        "value is needed; got [].",
    ),
    "an empty list": (
        {"space__heads": []},
        "space.heads: a list, each text with at least one value is needed; got [].",
    ),
    "a value twice in a list": (
        {"space__recipe__lr": [0.001, "1e-3"]},
        "space.recipe.lr: every value may stand once; got [0.001, '1e-3'].",
    ),
    "an unknown objective": (
        {"objectives": ["latency"]},
        "objectives: one of latency_ms, params_m, macs_g, size_mb, memory_mb, energy_mj, "
        "throughput_ips is needed (did you mean latency_ms?); got ['latency'].",
    ),
    "a limit of 0": (
        {"hardware__limits__size_mb": 0},
        "hardware.limits.size_mb: nothing costs 0; got 0. Give a number above 0, or null for no "
        "limit.",
    ),
    "a value twice in a list that may be null": (
        {"hardware__affinity": [0, 0]},
        "hardware.affinity: every value may stand once; got [0, 0].",
    ),
    "a task that is not in a table": (
        {"task__name": "clasification"},
        "task.name: one of classification, multilabel, semantic, detection, instance is needed "
        "(did you mean classification?); got 'clasification'.",
    ),
    "a list for the name of a runtime": (
        {"hardware__runtime": ["eager"]},
        "hardware.runtime: text is needed; got ['eager'].",
    ),
}


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.replace(" ", "-"))
def test_what_is_wrong_is_said_in_one_message(case: str) -> None:
    leaves, message = REFUSED[case]
    assert problems(changed(**leaves)) == (message,)


def test_all_problems_come_at_once_in_order_and_none_twice() -> None:
    content = changed(
        seed=-1, task__epochs="many", hardware__limits__latency_ms="fast", space__heads=[]
    )
    del content["engine"]["workers"]
    found = problems(content)
    assert [problem.split(":")[0] for problem in found] == [
        "seed",
        "task.epochs",
        "hardware.limits.latency_ms",
        "space.heads",
        "engine.workers",
    ]


def test_every_unknown_name_in_a_list_has_its_own_hint() -> None:
    found = problems(changed(objectives=["latency", "params"]))
    assert [problem.split("did you mean ")[1].split("?")[0] for problem in found] == [
        "latency_ms",
        "params_m",
    ]


def test_a_missing_option_is_named_with_its_meaning() -> None:
    content = changed()
    del content["budget"]["trials"], content["tracking"]
    assert problems(content) == (
        "budget.trials: is missing (full trainings to spend; null: no such limit).",
        "tracking: is missing (a group of options).",
    )


def test_every_option_has_one_place_a_type_and_a_meaning() -> None:
    rows = options()
    paths = [path for path, _, _ in rows]
    assert len(set(paths)) == len(paths)
    assert all(kind and meaning for _, kind, meaning in rows)
    assert {f"hardware.limits.{name}" for name in LIMITS} < set(paths)
