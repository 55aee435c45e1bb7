"""The door of the configuration: what it refuses, and in which words."""

from __future__ import annotations

from dataclasses import is_dataclass, replace
from typing import Any

import pytest

from archfront.search.config.build import build, differences, options
from archfront.search.config.check import Findings, read
from archfront.search.config.compose import compose
from archfront.search.config.rules import RULES
from archfront.search.config.schema import LIMITS, OBJECTIVES, Config
from archfront.search.config.settings import measure_settings, needed_values
from archfront.search.errors import ConfigError
from archfront.search.latency.energy import METERS
from archfront.search.prepare.prepare import data_ref
from archfront.search.records.objectives import MEASURED
from tests.support.configurations import changed, problems

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a name that does not exist": (
        {"budget__trails": 3},
        "budget.trails: no such option. Did you mean budget.trials? Known under budget: "
        "max_failures, max_rejections, minutes, rungs, trial_minutes, trials.",
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
        "sampler.name: one of front, gp, nsga2, random, tpe is needed (did you mean tpe?); got "
        "'tpee'.",
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


BROKEN_RULES: dict[str, tuple[dict[str, Any], str]] = {
    "_study_name": (
        {"study": "../x"},
        "study: a study's name starts with a letter or digit and has only letters, digits, '.', "
        "'_' and '-', 60 at most, since it names a folder; got '../x'.",
    ),
    "data_source": (
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
    "_rungs": (
        {"task__epochs": 9, "budget__rungs": [3, 1, 9]},
        "budget.rungs: rungs rise up to task.epochs=9; got [3, 1, 9]. Give them as [3, 9], [] for "
        "full trainings only, or null.",
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
    "_metric": (
        {"task__metric": "acuracy"},
        "task.metric: Unknown metric 'acuracy'. Did you mean 'accuracy'? Known: accuracy, "
        "balanced_accuracy, macro_f1.",
    ),
    "_loss": (
        {"task__loss": "cross_entropi"},
        "task.loss: Unknown loss 'cross_entropi'. Did you mean 'cross_entropy'? Known: ",
    ),
    "_heads": (
        {"space__heads": ["avg", "gemm"]},
        "space.heads: Unknown head 'gemm'. Did you mean 'gem'? Known: ",
    ),
    "target": (
        {"data__reader": "voc", "data__root": "x"},
        "data.reader: the task 'classification' learns from one label per image, which 'voc' does "
        "not give. Readers that do: digits, shapes, folder, torchvision, csv.",
    ),
    "unread_options": (
        {"data__annotations": "/x/labels.csv"},
        "data.annotations: data=digits does not look at it; got '/x/labels.csv'. Leave it out, or "
        "use data=csv or data=coco or data=yolo.",
    ),
    "palette": (
        {"data__reader": "masks", "data__root": "x", "data__palette": {"a": 7, "b": [1, 2, 2]}},
        "data.palette: every class has one value, as road: 7, or every class has a color, as "
        "road: [128, 64, 128]; got {'a': (7,), 'b': (1, 2, 2)}.",
    ),
    "shapes": (
        {"data__reader": "shapes", "data__shapes__objects_min": 9},
        "data.shapes.objects_min: it is at most data.shapes.objects_max; got 9 and 3.",
    ),
    "torchvision_name": (
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
    "_decoder_shapes": (
        {
            "task__name": "semantic",
            "task__metric": "miou",
            "task__loss": "dice",
            "data__reader": "shapes",
            "space__heads": ["unet"],
            "space__depths": [2],
            "space__input_sizes": [64],
        },
        "space.depths: unet takes 3 to 5; got 2.",
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
    option = message.split(":")[0]
    (problem,) = (text for text in problems(changed(**leaves)) if text.startswith(f"{option}:"))
    assert problem.startswith(message) if message.endswith(" ") else problem == message


class Recorder:
    """A configuration, or a group of it, that keeps the paths of the options looked at."""

    def __init__(self, part: Any, paths: set[str], path: str = "") -> None:
        self.part, self.paths, self.path = part, paths, path

    def __getattr__(self, name: str) -> Any:
        """Return an option's value, or a group of which the paths are kept too."""
        value, here = getattr(self.part, name), f"{self.path}.{name}".lstrip(".")
        if is_dataclass(value):
            return Recorder(value, self.paths, here)
        self.paths.add(here)
        return value


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_rule_reads_only_options_that_it_names(
    rule: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METERS, "cpu", _no_counter)
    paths: set[str] = set()
    leaves, _ = BROKEN_RULES[rule.__name__]
    config: Any = Recorder(read(Config, changed(**leaves), Findings()), paths)
    assert rule(config)
    assert paths <= set(RULES[rule]) <= {path for path, _, _ in options()}


@pytest.mark.parametrize(
    ("task", "metric", "loss", "space"),
    [("semantic", "miou", "dice", "semantic"), ("detection", "map", "own", "detection")],
)
def test_a_space_of_another_task_is_told_in_one_line(
    task: str, metric: str, loss: str, space: str
) -> None:
    leaves = {"task__name": task, "task__metric": metric, "task__loss": loss}
    (problem,) = problems(changed(**leaves, data__reader="shapes"))
    assert problem.startswith(f"space.heads: avg, gem are of another task than {task!r}, which")
    assert problem.endswith(f"Choose space={space}, or give space.heads=NAMES.")


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


def test_rules_about_good_options_are_checked_beside_bad_options() -> None:
    leaves = {"data__train": "many", "data__val": 0, "task__name": "x", "task__metric": "y"}
    found = problems(changed(seed=-1, study="a b", budget__trials=None, engine=3, **leaves))
    assert [problem.split(":")[0] for problem in found] == [
        *("seed", "task.name", "data.train", "engine"),
        *("study", "budget"),
    ]


def test_every_unknown_name_in_a_list_has_its_own_hint() -> None:
    found = problems(changed(objectives=["latency", "params"]))
    assert [problem.split("did you mean ")[1].split("?")[0] for problem in found] == [
        "latency_ms",
        "params_m",
    ]


def test_all_broken_rules_come_at_once() -> None:
    found = problems(changed(study="a b", budget__trials=None, engine__workers=3))
    assert [problem.split(":")[0] for problem in found] == ["study", "budget", "engine.workers"]


def test_a_missing_option_is_named_with_its_meaning() -> None:
    content = changed()
    del content["budget"]["trials"], content["tracking"]
    assert problems(content) == (
        "budget.trials: is missing (full trainings to spend; null: no such limit).",
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


def test_the_identity_leaves_out_what_may_change() -> None:
    config = build(compose(["experiment=digits"]).content)
    left = {"budget", "engine", "tracking"}
    assert config.identity().keys() == config.as_dict().keys() - left


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


class TestDataOptions:
    def said(self, **leaves: Any) -> list[str]:
        """Return what is said of masks, but for the task that does not learn from them."""
        content = changed(data__reader="masks", data__root="x", **leaves)
        return [text for text in problems(content) if not text.startswith("data.reader")]

    def test_two_classes_of_one_color_are_refused(self) -> None:
        palette = {"a": [1, 2, 3], "b": [4, 5, 6], "c": [1, 2, 3]}
        assert self.said(data__palette=palette) == [
            "data.palette: a and c have the same value or color."
        ]

    def test_classes_are_named_once(self) -> None:
        assert self.said(data__palette={"a": 1, "b": 2}, data__classes=["a", "b"]) == [
            "data.classes: data.palette names the classes already; give one of both."
        ]

    def test_a_color_that_does_not_count_is_in_the_palette(self) -> None:
        palette = {"a": [1, 2, 3], "b": [4, 5, 6]}
        (problem,) = self.said(data__palette=palette, data__ignore_index=3)
        assert problem.startswith(
            "data.ignore_index: the masks have colors; got 3. Name the color"
        )

    def test_a_value_beyond_a_byte_is_refused(self) -> None:
        (problem,) = self.said(data__palette={"a": [1, 2, 256]})
        assert problem == (
            "data.palette: a whole number from 0 to 255 is needed; got {'a': [1, 2, 256]}."
        )

    def test_a_palette_is_a_mapping(self) -> None:
        assert self.said(data__palette="road") == [
            "data.palette: names, each with a list, each a whole number from 0 to 255 is needed, "
            "as option.name=value; got 'road'."
        ]

    def test_words_give_a_palette_by_its_names(self) -> None:
        words = ["data.palette.road=[128, 64, 128]", "data.palette.sky=7"]
        composed = compose(["experiment=digits", *words])
        for problem in problems(composed.content, *composed.texts):
            assert "got {'road': (128, 64, 128), 'sky': (7,)}" in problem

    def test_a_label_needs_a_shape(self) -> None:
        content = changed(data__reader="shapes", data__shapes__objects_min=0)
        assert problems(content) == (
            "data.shapes.objects_min: one label per image needs a shape in each; got 0. Set 1.",
        )

    def test_the_data_is_loaded_as_the_options_say(self) -> None:
        shapes = {"images": 7, "side": 24, "overlap": True}
        leaves = {f"data__shapes__{name}": value for name, value in shapes.items()}
        ref = data_ref(build(changed(data__reader="shapes", data__classes=None, **leaves)))
        assert (ref.shapes.images, ref.shapes.side, ref.shapes.overlap) == (7, 24, True)
        assert (ref.target, ref.palette, ref.annotations) == ("label", (), None)
        assert hash(ref) == hash(replace(ref))
