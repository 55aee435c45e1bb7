"""A task brings its space, and the files of the data say its format."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from archfront.search.config.build import build
from archfront.search.config.compose import Composed, compose
from archfront.search.config.schema import Config
from archfront.search.errors import ConfigError
from archfront.trainers.tasks import TASKS


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def built(composed: Composed) -> Config:
    return build(composed.content, texts=composed.texts)


def image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8)).save(path)


def classes(root: Path, *names: str) -> None:
    for name in names:
        image(root / name / "0.png")


def refused(*words: str) -> str:
    with pytest.raises(ConfigError) as caught:
        compose(words)
    assert len(caught.value.problems) == 1
    return caught.value.problems[0]


@pytest.mark.parametrize("task", TASKS)
def test_a_task_alone_brings_its_space_and_a_usual_format(task: str) -> None:
    config = built(compose([f"task={task}", "data.root=photos"]))
    assert config.task.name == task
    assert set(config.space.heads) <= set(TASKS[task].heads)
    usual = {"classification": "folder", "multilabel": "csv", "semantic": "masks"}
    assert config.data.reader == usual.get(task, "coco")


def test_a_space_or_an_experiment_that_is_given_stays() -> None:
    assert (
        built(compose(["task=multilabel", "space=timm", "data.root=a"])).space.params_m_max == 60
    )
    bccd = built(compose(["experiment=bccd", "data.root=a"]))
    assert (bccd.data.reader, bccd.task.name) == ("voc", "detection")


def test_a_task_of_the_users_own_brings_the_space_of_its_name(tmp_path: Path) -> None:
    (tmp_path / "own" / "task").mkdir(parents=True)
    (tmp_path / "own" / "task" / "cells.yaml").write_text(
        "defaults: [detection]\nname: detection\n"
    )
    composed = compose(["task=cells", "data.root=a"], config_dirs=[tmp_path / "own"])
    assert "yolo" in built(composed).space.heads


def test_what_was_found_is_told(tmp_path: Path) -> None:
    classes(tmp_path / "photos", "cat", "dog")
    composed = compose(["data.root=photos"])
    assert composed.content["data"]["reader"] == "folder"
    assert composed.notes == (
        "data=auto reads photos as data=folder (2 folders of images: cat, dog)",
    )
    assert compose(["data=folder", "data.root=photos"]).notes == ()
    assert compose(["data=auto", "data.root=photos"]).notes == composed.notes


def test_the_reader_option_and_the_name_of_a_dataset_decide(tmp_path: Path) -> None:
    classes(tmp_path / "photos", "cat", "dog")
    assert built(compose(["data.root=photos", "data.reader=csv"])).data.reader == "csv"
    assert built(compose(["data.name=FashionMNIST"])).data.reader == "torchvision"


@pytest.mark.parametrize(
    ("file", "reader"), [("a.json", "coco"), ("a.yaml", "yolo"), ("a.yml", "yolo")]
)
def test_a_file_of_annotations_says_the_format(tmp_path: Path, file: str, reader: str) -> None:
    image(tmp_path / "photos" / "0.png")
    words = ["task=detection", "data.root=photos", f"data.annotations=photos/{file}"]
    assert built(compose(words)).data.reader == reader


def test_of_two_formats_one_has_to_be_chosen(tmp_path: Path) -> None:
    classes(tmp_path / "photos", "cat", "dog")
    (tmp_path / "photos" / "labels.csv").write_text("path,label\ncat/0.png,cat\n")
    assert refused("data.root=photos") == (
        "data: photos has the files of 2 formats: folder (2 folders of images: cat, dog), csv "
        "(labels.csv). Choose one with data=folder or data=csv."
    )


def test_a_format_of_other_tasks_names_them(tmp_path: Path) -> None:
    image(tmp_path / "photos" / "0.jpg")
    (tmp_path / "photos" / "0.xml").write_text("<annotation><object/></annotation>")
    assert refused("data.root=photos") == (
        "data: photos has voc (1 xml file), and task=classification learns from one label per "
        "image. Choose task=detection, or another data.root."
    )


def test_without_any_format_the_choices_are_named(tmp_path: Path) -> None:
    image(tmp_path / "photos" / "0.jpg")
    (tmp_path / "photos" / "notes").mkdir()
    text = refused("data.root=photos", "task=detection")
    assert text.startswith(
        "data: photos has no format that is recognized for task=detection (it has 1 .jpg and 1 "
        "folder). Give data.root=FOLDER with one, or choose its format: data=coco: the folder "
    )
    assert "data=yolo: the folder of data.yaml" in text
    assert "data=csv" not in text
