"""The door of the configuration: how numbers and texts of a command line are read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from archfront.search.config.build import build
from archfront.search.config.check import option_paths
from archfront.search.config.compose import compose
from archfront.search.config.schema import Config
from tests.support.configurations import changed, problems


def leaf(config: Config, path: str) -> Any:
    value: Any = config
    for name in path.split("."):
        value = getattr(value, name)
    return value


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "nan", "inf", "-Infinity", "1e400"])
@pytest.mark.parametrize("path", ["hardware__limits__latency_ms", "data__train", "budget__trials"])
def test_numbers_are_finite(path: str, value: object) -> None:
    (problem,) = problems(changed(**{path: value}))
    assert problem.startswith(f"{path.replace('__', '.')}: a ")
    assert problem.endswith(
        f"is needed; got {value!r}." if "limits" not in path else f"{value!r}."
    )


@pytest.mark.parametrize("value", [2**53 + 1, str(2**53 + 1), 10**30])
def test_large_whole_numbers_are_kept_exactly(value: Any) -> None:
    assert build(changed(data__split_seed=value)).data.split_seed == int(value)


@pytest.mark.parametrize("value", [10**400, "9" * 5000], ids=["number", "text"])
def test_a_number_beyond_any_float_is_refused_where_one_is_needed(value: object) -> None:
    (problem,) = problems(changed(data__memory_mb=value))
    assert problem.startswith("data.memory_mb: a number of at least 0 is needed; got ")


HOME = str(Path.home())
FROM_TEXT = [
    ("space.recipe.lr", "1e-3", (0.001,)),
    ("space.recipe.lr", "1e-3,3e-3", (0.001, 0.003)),
    ("space.recipe.lr", "[1e-3, 3e-3]", (0.001, 0.003)),
    ("space.recipe.lr", " [1e-3 ,3e-3] ", (0.001, 0.003)),
    ("space.recipe.freeze", "[false]", (False,)),
    ("space.recipe.augment", "none,strong", ("none", "strong")),
    ("space.backbones", "*_small", ("*_small",)),
    ("space.backbones", "*_small,resnet*", ("*_small", "resnet*")),
    ("space.backbones", "[*_small, 'resnet*', \"x\"]", ("*_small", "resnet*", "x")),
    ("space.backbones", "[rv]es*,b[12]", ("[rv]es*", "b[12]")),
    ("space.backbones", "resnet1[48]", ("resnet1[48]",)),
    ("space.exclude", "", ()),
    ("space.exclude", "[]", ()),
    ("space.input_sizes", "32", (32,)),
    ("space.input_sizes", "auto", "auto"),
    ("objectives", "latency_ms,params_m", ("latency_ms", "params_m")),
    ("task.epochs", "1e1", 10),
    ("task.epochs", "12", 12),
    ("task.label_smoothing", "0", 0.0),
    ("engine.gpus", "2", 2),
    ("engine.gpus", "2.0", 2),
    ("engine.gpus", "0.25", 0.25),
    ("engine.gpus", "0.33", 1 / 3),
    ("engine.gpus", "0.0625", 1 / 16),
    ("budget.minutes", ".5", 0.5),
    ("budget.minutes", "null", None),
    ("budget.minutes", "", None),
    ("data.download", "true", True),
    ("data.download", "False", False),
    ("data.channels", "3", 3),
    ("data.channels", "null", None),
    ("data.root", "~", HOME),
    ("data.root", "~/my flowers", f"{HOME}/my flowers"),
    ("data.root", "/a,b=c (d)/e'f\"g", "/a,b=c (d)/e'f\"g"),
    ("data.root", "x/../y", f"{os.getcwd()}/y"),
    ("data.root", "null", None),
    ("space.weights", "a, b", "a, b"),
    ("tracking.mlflow_uri", "postgresql://u:p@h/db?x=[1,2]", "postgresql://u:p@h/db?x=[1,2]"),
    ("study", "2024", "2024"),
    ("study", "null", "null"),
]


@pytest.mark.parametrize(("path", "text", "value"), FROM_TEXT)
def test_text_is_read_by_the_type_of_its_option(path: str, text: str, value: object) -> None:
    engine = {"engine__name": "ray"} if path == "engine.gpus" else {}  # others use none
    config = build(changed(**engine, **{path.replace(".", "__"): text}), texts=frozenset([path]))
    found = leaf(config, path)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("space.heads", ",", "a list, each text with at least one value is needed; got ','"),
        ("space.heads", "avg,avg", "every value may stand once; got 'avg,avg'"),
        (
            "space.input_sizes",
            "automatic",
            "a whole number from 4 to 4096 is needed; got 'automatic'",
        ),
        ("data.download", "yes", "true or false is needed; got 'yes'"),
        ("data.channels", "2", "one of 1, 3 or null is needed; got '2'"),
        ("seed", "null", "a whole number from 0 to 2147483648 is needed; got 'null'"),
        ("seed", "1.5", "a whole number from 0 to 2147483648 is needed; got '1.5'"),
        ("space.recipe.lr", "1e-3;1", "a number from 1e-08 to 10 is needed; got '1e-3;1'"),
        ("engine.precision", "BF16", "one of fp32, bf16, auto is needed; got 'BF16'"),
    ],
)
def test_text_of_another_type_is_refused(path: str, text: str, message: str) -> None:
    assert problems(changed(**{path.replace(".", "__"): text}), path) == (f"{path}: {message}.",)


@pytest.mark.parametrize("value", [0.4, 1.5, -1, 65, 0.05, 0.3, "half", True, None, float("nan")])
def test_gpus_are_whole_or_a_part_that_trainings_share(value: object) -> None:
    words = "a whole number from 0 to 64 or 1/n down to 1/16 (0.5, 0.33, 0.25) is needed"
    assert problems(changed(engine__name="ray", engine__gpus=value)) == (
        f"engine.gpus: {words}; got {value!r}.",
    )


@pytest.mark.parametrize("n", [5000, 100_000])
@pytest.mark.parametrize("path", [path for path, _, _ in option_paths(Config)])
def test_no_value_is_too_long_for_a_message(path: str, n: int) -> None:
    """One of 100,000 letters was told whole, or a study failed of it once it had begun."""
    value = "x" * n
    content = changed(**{path.replace(".", "__"): value})
    told = problems(content, path)
    assert any(problem.startswith(f"{path}: ") for problem in told)
    assert all("x" * 201 not in problem for problem in told)


def test_an_experiment_has_a_name_that_mlflow_takes() -> None:
    build(changed(tracking__experiment="x" * 500))
    (problem,) = problems(changed(tracking__experiment="x" * 501))
    assert problem.startswith("tracking.experiment: at most 500 letters are taken, not 501; got ")
    assert problem.endswith(" Give fewer.")


def test_a_path_has_names_that_a_disk_takes() -> None:
    for path in ("data.root", "space.weights", "tracking.root"):
        named = {path.replace(".", "__"): f"a/{'ä' * 130}/b"}
        (problem,) = problems(changed(**named), path)
        assert "the name of a file or a folder has at most 255 bytes, not 260; got " in problem


def test_text_of_a_file_is_not_read_as_a_list() -> None:
    assert build(changed(space__backbones=["a,b"])).space.backbones == ("a,b",)


@pytest.mark.parametrize("experiment", [(), ("experiment=digits",)])
def test_a_configuration_survives_its_own_record(experiment: tuple[str, ...]) -> None:
    composed = compose(["data=digits", *experiment])
    config = build(composed.content)
    assert build(config.as_dict()) == config
    assert build(yaml.safe_load(yaml.safe_dump(config.as_dict()))) == config
