"""The rules about several options: what they refuse, and in which words."""

from __future__ import annotations

from dataclasses import is_dataclass, replace
from typing import Any

import pytest

from archfront.search.config.build import build, options
from archfront.search.config.check import Findings, read
from archfront.search.config.compose import compose
from archfront.search.config.rules import RULES
from archfront.search.config.schema import Config
from archfront.search.config.settings import measure_settings, needed_values
from archfront.search.errors import ConfigError
from archfront.search.latency.energy import METERS
from archfront.search.prepare.data_reference import data_ref
from tests.support.configurations import changed, problems

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
    "_layer_decay": (
        {"space__recipe__layer_decay": [0.75, 1.0]},
        "space.recipe.layer_decay: lower layers learn less where they have weights; got 0.75, 1 "
        "without. Use space.recipe.layer_decay=[1.0].",
    ),
    "_probe": (
        {"task__init": "probe"},
        "task.init: a head is solved on the features of first weights; got probe with "
        "space.weights=none. Use space.weights=pretrained or a folder, or task.init=auto.",
    ),
    "_budget": (
        {"budget__trials": None},
        "budget: a study needs an end; got neither. Give budget.trials or budget.minutes.",
    ),
    "_folds": (
        {"budget__folds": 1},
        "budget.folds: a network is trained on all folds but one, so there are two at least, or 0 "
        "for none; got 1. Use budget.folds=5 or budget.folds=0.",
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
    "_recipe_loss": (
        {"task__class_weights": "balanced", "space__recipe__loss": ["balanced_softmax"]},
        "space.recipe.loss: the weights of classes come from it or from task.class_weights; got "
        "balanced_softmax with task.class_weights=balanced. Use task.class_weights=none or "
        "space.recipe.loss=[plain].",
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
    "group": (
        {"data__group": "(open"},
        "data.group: '(open' is no regular expression (missing ), unterminated subpattern at "
        "position 0). Give one whose first parenthesis is what the images of a group have in "
        "common, or stem or prefix or folder.",
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
    "tiles": (
        {"data__tiles": 320},
        "data.tiles: the labels of an image are not those of its tiles; got 320 with "
        "task=classification. Leave it out; tiles are for semantic, detection and instance.",
    ),
    "torchvision_name": (
        {"data__reader": "torchvision", "data__name": "FashionMNISTT", "data__root": "x"},
        "data.name: Unknown torchvision dataset 'FashionMNISTT'. Did you mean 'FashionMNIST'? "
        "Known: ",
    ),
    "cluster": (
        {"engine__labels": {"device": "pi5"}},
        "engine.labels: engine=inline does not use it; got {'device': 'pi5'}. Use engine=ray.",
    ),
    "gpus": (
        {"engine__name": "submitit", "engine__gpus": 0.25, "engine__workers": 3},
        "engine.gpus: a job of SLURM takes whole GPUs, which its 4 trainings share with 0.25; got "
        "engine.workers=3. Use engine.workers=4 or more, or engine.gpus=1.",
    ),
    "sbatch": (
        {"engine__name": "submitit", "engine__sbatch": {"Nice": "1"}},
        "engine.sbatch: a long name of sbatch is needed, as reservation; got 'Nice'.",
    ),
    "workers": (
        {"engine__workers": 2},
        "engine.workers: engine=inline runs one job at a time in this process; got 2. Use "
        "engine.workers=1 or engine=processes.",
    ),
    "_hidden_password": (
        {"tracking__storage_url": "postgresql://me:***@host/db"},
        "tracking.storage_url: a stored configuration hides passwords; got "
        "'postgresql://me:***@host/db'. Give tracking.storage_url=URL with the real one, "
        "or set ARCHFRONT_STORAGE_URL to it.",
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
        "space.depths: unet takes 3 to 5; got 2. Give others, or leave unet out of space.heads.",
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


def test_one_epoch_has_no_rungs_to_advise() -> None:
    (problem,) = problems(changed(task__epochs=1, budget__rungs=[2]))
    assert problem.endswith("got [2]. Give them as [] for full trainings only, or null.")


@pytest.mark.parametrize(
    ("task", "metric", "loss", "space"),
    [("semantic", "miou", "dice", "semantic"), ("detection", "map", "own", "detection")],
)
def test_a_space_of_another_task_is_told_in_one_line(
    task: str, metric: str, loss: str, space: str
) -> None:
    leaves = {"task__name": task, "task__metric": metric, "task__loss": loss}
    (problem,) = problems(changed(**leaves, data__reader="shapes"))
    belong = "belong to task=classification or task=multilabel, and the task is"
    assert problem.startswith(f"space.heads: avg, gem {belong} {task!r}, which has")
    assert problem.endswith(f"Give the task, or space={space}, or space.heads=NAMES.")


def test_one_head_of_another_task_belongs_to_it() -> None:
    leaves = {"task__name": "detection", "task__metric": "map", "task__loss": "own"}
    (problem,) = problems(changed(**leaves, space__heads=["yolo_mask"], data__reader="shapes"))
    assert problem.startswith("space.heads: yolo_mask belongs to task=instance, and the task is")


def _no_counter() -> None:
    raise ConfigError("the processor has no counter.")


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
        (
            {"engine__name": "ray", "engine__gpu_memory_gb": 8},
            "engine.gpu_memory_gb: no training uses a GPU with engine.gpus=0; got 8. Give "
            "engine.gpus as well.",
        ),
        (
            {"engine__gpu_memory_gb": 8},
            "engine.gpu_memory_gb: engine=inline does not use it; got 8.0. Use engine=ray or "
            "engine=submitit.",
        ),
        ({"budget__minutes": 0}, "budget.minutes: nothing costs 0; got 0."),
        ({"budget__trial_minutes": 0}, "budget.trial_minutes: nothing costs 0; got 0."),
        ({"space__params_m_max": 0.0}, "space.params_m_max: nothing costs 0; got 0."),
    ],
)
def test_rules_say_which_option_breaks_them(leaves: dict[str, Any], start: str) -> None:
    (problem,) = problems(changed(**leaves))
    assert problem.startswith(start)


def test_rules_about_good_options_are_checked_beside_bad_options() -> None:
    leaves = {"data__train": "many", "data__val": 0, "task__name": "x", "task__metric": "y"}
    found = problems(changed(seed=-1, study="a b", budget__trials=None, engine=3, **leaves))
    assert [problem.split(":")[0] for problem in found] == [
        *("seed", "task.name", "data.train", "engine"),
        *("study", "budget"),
    ]


def test_all_broken_rules_come_at_once() -> None:
    found = problems(changed(study="a b", budget__trials=None, engine__workers=3))
    assert [problem.split(":")[0] for problem in found] == ["study", "budget", "engine.workers"]


@pytest.mark.parametrize("name", ["flowers", "a.b-c_1", "9", "blüten", "x" * 60])
def test_names_of_folders_name_studies(name: str) -> None:
    assert build(changed(study=name)).study == name


@pytest.mark.parametrize("name", ["a/b", "..", ".x", "-x", "a b", "a\n", "x" * 61, "a*", "${x}"])
def test_other_names_do_not(name: str) -> None:
    (problem,) = problems(changed(study=name))
    assert problem.startswith("study: a study's name starts with a letter or digit")
    assert problem.endswith(f"got {name!r}.")


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

    @pytest.mark.parametrize("values", [[9, 3], [7, 7], [1], [0, 1, 2]])
    def test_a_range_is_two_values_that_rise(self, values: list[int]) -> None:
        assert self.said(data__value_range=values) == [
            "data.value_range: two whole numbers are needed, the smaller one first, as [0, 4095]; "
            f"got {values}."
        ]

    def test_a_range_may_be_left_to_the_images(self) -> None:
        for asked, given in (("auto", None), ([0, 4095], (0, 4095))):
            assert data_ref(build(changed(data__value_range=asked))).value_range == given

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
        assert (ref.tiles, ref.tile_overlap) == (None, 0.2)
        assert hash(ref) == hash(replace(ref))

    @pytest.mark.parametrize(
        ("word", "tiles"), [("none", None), ("null", None), ("auto", "auto"), ("512", 512)]
    )
    def test_tiles_are_a_side_or_a_word(self, word: str, tiles: int | str | None) -> None:
        composed = compose(["experiment=shapes_detection", f"data.tiles={word}"])
        config = build(composed.content, texts=composed.texts)
        assert data_ref(config).tiles == tiles

    def test_other_words_are_no_tiles(self) -> None:
        composed = compose(["experiment=shapes_detection", "data.tiles=small"])
        (problem,) = problems(composed.content, *composed.texts)
        assert problem.startswith("data.tiles: ")
        assert "got 'small'" in problem
