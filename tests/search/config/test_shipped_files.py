"""The shipped yaml files: every one composes, builds and is documented."""

from __future__ import annotations

import pytest
import yaml

from archfront.search.config import options
from archfront.search.config.build import build
from archfront.search.config.compose import GROUPS, choices, compose, conf_dir
from archfront.trainers.data.readers import READERS
from archfront.trainers.tasks import TASKS
from tests.support.composed import built

pytestmark = pytest.mark.usefixtures("elsewhere")

SHIPPED = [(group, name) for group in GROUPS for name in choices(group)]

# Files of data and of experiments on data that lies in a folder of the user's.
NEED_ROOT = {
    *(name for name, reader in READERS.items() if reader.root is not None),
    *("bccd", "nuclei", "nuclei_masks", "fashion"),
}


def words_for(group: str, name: str) -> list[str]:
    """Return the words with which a shipped file makes a whole configuration."""
    words = {group: name}
    if group not in ("data", "experiment"):
        words["data"] = "digits"
    task = None
    if group == "data":  # with the first task that learns from what it gives
        task = next(task for task in TASKS if TASKS[task].target in READERS[name].gives)
    elif name in TASKS and group in ("task", "space"):
        task, words["data"] = name, "shapes"
    if task is not None:
        words["task"] = task
        words |= {"space": task} if task in choices("space") else {}
    values = ["data.root=photos"] if name in NEED_ROOT else []
    values += ["data.name=FashionMNIST"] if name == "torchvision" else []
    return [f"{key}={value}" for key, value in words.items()] + values


@pytest.mark.slow
@pytest.mark.parametrize(("group", "name"), SHIPPED, ids=lambda value: value)
def test_every_shipped_file_composes_and_builds(
    group: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARCHFRONT_STORAGE_URL", "postgresql+pg8000://ann:secret@db:5432/studies")
    words = words_for(group, name)
    config = built(compose(words))
    if group not in ("budget", "space", "tracking", "experiment"):
        part = config.as_dict()[group]
        table = {"data": "reader"}.get(group, "name")
        if group == "hardware":  # as cpu_openvino_int8, cuda_eager
            device, runtime, *precision = name.split("_")
            expected = runtime + ("_cuda" if device == "cuda" else "")
            assert part["runtime"] == expected
            assert precision in ([], [part["precision"]])
        else:
            assert name == part[table]
    assert build(config.as_dict()) == config


@pytest.mark.parametrize(("group", "name"), SHIPPED, ids=lambda value: value)
def test_every_shipped_file_begins_with_a_line_for_people(group: str, name: str) -> None:
    lines = (conf_dir() / group / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    first = next(line for line in lines if "@package" not in line)
    assert first.startswith("# ")
    assert first.endswith((".", "?"))


def test_the_table_of_contents_names_every_group() -> None:
    content = yaml.safe_load((conf_dir() / "config.yaml").read_text(encoding="utf-8"))
    named = [next(iter(entry)) for entry in content["defaults"] if isinstance(entry, dict)]
    assert [name.removeprefix("optional ") for name in named] == list(GROUPS)


def test_the_page_of_options_is_current() -> None:
    page = conf_dir().resolve().parent / "docs" / "options.md"
    assert page.read_text(encoding="utf-8") == options.page(), "run: make docs"
