"""The door of the configuration: what it refuses, and in which words."""

from __future__ import annotations

from typing import Any

import pytest
from configurations import changed, problems

from search.compose import compose
from search.config import LIMITS, OBJECTIVES, build, differences, options
from search.config_rules import RULES
from search.errors import ConfigError
from search.front import MEASURED
from search.latency.energy import METERS
from search.settings import measure_settings, needed_values

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a name that does not exist": (
        {"budget__trails": 3},
        "budget.trails: no such option. Did you mean budget.trials? Known under budget: "
        "max_failures, max_rejections, minutes, trial_minutes, trials.",
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
        "task.epochs: a whole number from 1 to 10000 is needed; got 2.5.",
    ),
    "a number below its bound": (
        {"task__epochs": 0},
        "task.epochs: a whole number from 1 to 10000 is needed; got 0.",
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
        "sampler.name: one of gp, nsga2, random, tpe is needed (did you mean tpe?); got 'tpee'.",
    ),
    "a word that is not among the choices": (
        {"task__schedule": "onecycle"},
        "task.schedule: one of one_cycle, cosine is needed (did you mean one_cycle?); got "
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
}


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.replace(" ", "-"))
def test_what_is_wrong_is_said_in_one_message(case: str) -> None:
    leaves, message = REFUSED[case]
    assert problems(changed(**leaves)) == (message,)


BROKEN_RULES: dict[str, tuple[dict[str, Any], str]] = {
    "_study_name": (
        {"study": "../x"},
        "study: a study's name starts with a letter or digit and has only letters, digits, '.', "
        "'_' and '-', 60 at most, since it names a folder; got '../x'.",
    ),
    "_data_source": (
        {"data__reader": "folder"},
        "data.root: data=folder needs the folder with one folder of images per class; got "
        "nothing. Give data.root=FOLDER.",
    ),
    "_split": (
        {"data__train": 0.5, "data__val": 0.4, "data__test": 0.3},
        "data.train, data.val, data.test: the shares add up to at most 1; got 0.5 + 0.4 + 0.3 = "
        "1.2.",
    ),
    "_freeze": (
        {"space__recipe__freeze": [False, True]},
        "space.recipe.freeze: a frozen backbone needs weights; got freeze true with "
        "space.weights=none. Use space.weights=pretrained or a folder, or freeze=[false].",
    ),
    "_budget": (
        {"budget__trials": None},
        "budget: a study needs an end; got neither. Give budget.trials or budget.minutes.",
    ),
    "_zero_limits": (
        {"hardware__limits__size_mb": 0},
        "hardware.limits.size_mb: nothing costs 0; got 0. Give a number above 0, or null for no "
        "limit.",
    ),
    "_runtime_names": (
        {"hardware__runtime": "onnxrt"},
        "hardware.runtime: Unknown runtime 'onnxrt'. Did you mean 'onnxruntime'? Known: ",
    ),
    "_precision": (
        {"hardware__runtime": "onnxruntime", "hardware__precision": "bf16"},
        "hardware.precision: the runtime 'onnxruntime' has fp32 and int8; got 'bf16', which "
        "eager, compiled, openvino, eager_cuda, compiled_cuda have.",
    ),
    "_task_names": (
        {"task__metric": "acuracy"},
        "task.metric: Unknown metric 'acuracy'. Did you mean 'accuracy'? Known: accuracy, "
        "balanced_accuracy, macro_f1.",
    ),
    "_torchvision_name": (
        {"data__reader": "torchvision", "data__name": "FashionMNISTT", "data__root": "x"},
        "data.name: Unknown torchvision dataset 'FashionMNISTT'. Did you mean 'FashionMNIST'? "
        "Known: ",
    ),
    "_inline_workers": (
        {"engine__workers": 2},
        "engine.workers: engine=inline runs one job at a time in this process; got 2. Use "
        "engine.workers=1 or engine=processes.",
    ),
    "_hidden_password": (
        {"tracking__storage_url": "postgresql://me:***@host/db"},
        "tracking.storage_url: a stored configuration hides passwords; got "
        "'postgresql://me:***@host/db'. Give tracking.storage_url=URL with the real one.",
    ),
    "_affinity": (
        {"hardware__affinity": [4096]},
        "hardware.affinity: this process may run on the cores ",
    ),
    "_throughput": (
        {"objectives": ["latency_ms", "throughput_ips"]},
        "objectives: throughput_ips is measured at hardware.throughput_batch, which is null. "
        "Give hardware.throughput_batch=32 or another number.",
    ),
    "_energy": (
        {"objectives": ["latency_ms", "energy_mj"], "hardware__limits__energy_mj": 3},
        "objectives and hardware.limits.energy_mj: the processor has no counter.",
    ),
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_rule_across_options_has_its_message(
    rule: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METERS, "cpu", _no_counter)
    leaves, message = BROKEN_RULES[rule.__name__]
    (problem,) = problems(changed(**leaves))
    assert problem.startswith(message) if message.endswith(" ") else problem == message


def _no_counter() -> None:
    raise ConfigError("the processor has no counter.")


def test_what_can_be_an_objective_can_be_one_of_a_front() -> None:
    assert set(OBJECTIVES) == set(MEASURED)
    assert {name for name in MEASURED if MEASURED[name].direction == "maximize"} == {
        "throughput_ips"
    }


def test_energy_that_can_be_read_is_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METERS, "cpu", object)
    config = build(changed(objectives=["energy_mj"], hardware__limits__energy_mj=3))
    assert "energy_mj" in needed_values(config)
    assert measure_settings(config).measures_energy


def test_an_imported_device_is_not_asked_what_this_machine_can_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(METERS, "cpu", _no_counter)
    asked = ["energy_mj", "throughput_ips"]
    build(changed(hardware__device="a board", objectives=asked, hardware__affinity=[4096]))


def test_what_a_measurement_needs_is_objectives_limits_and_the_throughput() -> None:
    leaves = {"hardware__limits__memory_mb": 100, "hardware__throughput_batch": 32}
    config = build(changed(objectives=["latency_ms", "size_mb"], **leaves))
    needed = needed_values(config)
    assert set(needed) >= {"latency_ms", "size_mb", "memory_mb", "throughput_ips"}
    settings = measure_settings(config)
    assert settings.measures_memory
    assert settings.throughput_batch == 32
    assert not settings.measures_energy
    assert settings.pace_file is not None


@pytest.mark.parametrize(
    ("leaves", "start"),
    [
        ({"data__reader": "torchvision", "data__root": "x"}, "data.name: data=torchvision needs"),
        (
            {"data__reader": "torchvision", "data__name": "MNIST"},
            "data.root: data=torchvision needs the folder",
        ),
        ({"data__val": 0}, "data.val: every split but test needs images; got 0."),
        ({"data__train": 3.5}, "data.train: a number of images is whole; got 3.5."),
        ({"space__heads": ["avg", "gemm"]}, "space.heads: Unknown head 'gemm'. Did you mean"),
        ({"budget__minutes": 0}, "budget.minutes: nothing costs 0; got 0."),
        ({"budget__trial_minutes": 0}, "budget.trial_minutes: nothing costs 0; got 0."),
        ({"space__params_m_max": 0.0}, "space.params_m_max: nothing costs 0; got 0."),
    ],
)
def test_rules_say_which_option_breaks_them(leaves: dict[str, Any], start: str) -> None:
    (problem,) = problems(changed(**leaves))
    assert problem.startswith(start)


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


def test_all_broken_rules_come_at_once() -> None:
    found = problems(changed(study="a b", budget__trials=None, engine__workers=3))
    assert [problem.split(":")[0] for problem in found] == ["study", "budget", "engine.workers"]


def test_a_missing_option_is_named_with_its_meaning() -> None:
    content = changed()
    del content["budget"]["trials"], content["tracking"]
    assert problems(content) == (
        "budget.trials: is missing (candidates to train; null: no such limit).",
        "tracking: is missing (a group of options).",
    )


@pytest.mark.parametrize("name", ["flowers", "a.b-c_1", "9", "blüten", "x" * 60])
def test_names_of_folders_name_studies(name: str) -> None:
    assert build(changed(study=name)).study == name


@pytest.mark.parametrize("name", ["a/b", "..", ".x", "-x", "a b", "a\n", "x" * 61, "a*", "${x}"])
def test_other_names_do_not(name: str) -> None:
    (problem,) = problems(changed(study=name))
    assert problem.startswith("study: a study's name starts with a letter or digit")
    assert problem.endswith(f"got {name!r}.")


def test_the_question_leaves_out_what_may_change() -> None:
    config = build(compose(["experiment=digits"]).content)
    left = {"budget", "engine", "tracking"}
    assert config.question().keys() == config.as_dict().keys() - left


def test_differences_name_each_leaf_with_both_values() -> None:
    old = {"a": {"b": 1, "c": [1]}, "d": 2, "e": None, "g": {"h": 1}}
    new = {"a": {"b": 1, "c": [1, 2]}, "e": 3, "f": 4, "g": 5}
    assert differences(old, new) == [
        "a.c: [1] in the study, [1, 2] now",
        "d: 2 in the study, None now",
        "e: None in the study, 3 now",
        "f: None in the study, 4 now",
        "g: {'h': 1} in the study, 5 now",
    ]
    assert differences(old, old) == []


def test_every_option_has_one_place_a_type_and_a_meaning() -> None:
    rows = options()
    paths = [path for path, _, _ in rows]
    assert len(set(paths)) == len(paths)
    assert all(kind and meaning for _, kind, meaning in rows)
    assert {f"hardware.limits.{name}" for name in LIMITS} < set(paths)
