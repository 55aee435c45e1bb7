"""Each check names what looks wrong, once, and says nothing about data that is as it should be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from archfront.trainers.data.plausible import CHECKS, Facts, warnings
from archfront.trainers.data.summary import summarize
from archfront.trainers.data.targets import Mask, Objects, Target
from archfront.trainers.data.verify import Sample

SIDE = 100


def sample(name: str, target: Target, digest: str = "") -> Sample:
    return Sample(Path(name), target, name, SIDE, SIDE, is_grey=False, digest=digest or name)


def boxes(*rows: tuple[float, ...], crowd: Sequence[bool] = ()) -> Objects:
    return Objects(
        np.array(rows, np.float32).reshape(-1, 4),
        np.zeros(len(rows), np.int64),
        np.array(crowd or [False] * len(rows), bool),
    )


def found(names: Sequence[str], **splits: list[Sample]) -> dict[str, str]:
    """Return the texts by check of a dataset."""
    return {w.check: w.text for w in summarize(splits, names, ()).warnings}


def labeled(split: str, *labels: int) -> list[Sample]:
    return [sample(f"{split}/{i}.png", label) for i, label in enumerate(labels)]


def test_nothing_is_said_of_usual_data() -> None:
    assert found(["cat", "dog"], train=labeled("train", 0, 0, 1), val=labeled("val", 0, 1)) == {}
    usual = boxes((0, 0, 50, 100), (3, 4, 5, 6))
    assert found(["cell"], train=[sample("a", usual)], val=[sample("b", usual)]) == {}
    mask = Mask(np.zeros((1, 1), np.uint8), counts=(9000, 500))
    assert found(["ground", "road"], train=[sample("a", mask)], val=[sample("b", mask)]) == {}


@pytest.mark.parametrize("name", ["train", "Test", "images", " valid "])
def test_a_class_called_like_a_folder_is_named(name: str) -> None:
    text = found(["cat", name], train=labeled("t", 0, 1), val=labeled("v", 0, 1))
    assert text == {
        "class called like a folder": f"the class {name!r} is called like a folder around classes "
        "or images; is data.root the right folder?"
    }


def test_a_class_folder_that_is_a_dataset_is_named() -> None:
    """A folder of four datasets was taken for one with four classes, without a word."""
    names = ["cells", "chess"]
    inner = [sample("chess/train/rook/1.png", 1), sample("cells/1.png", 0)]
    assert found(names, train=inner, val=labeled("v", 0, 1)) == {
        "class folder with splits": "splits with folders in them lie in the class 'chess', as "
        "chess/train/rook; is that a dataset of its own, to be given as data.root?"
    }


def test_splits_within_classes_and_classes_within_splits_are_usual() -> None:
    files = {"cells/train/1.png": 0, "chess/2020/05/1.png": 1, "train/chess/val/a/1.png": 1}
    usual = [sample(file, label) for file, label in files.items()]
    assert found(["cells", "chess"], train=usual, val=labeled("v", 0, 1)) == {}


def test_several_such_classes_are_one_warning() -> None:
    names = ["train", "val", "test", "images"]
    text = found(names, train=labeled("t", 0, 1, 2, 3), val=labeled("v", 0, 1, 2, 3))
    assert list(text) == ["class called like a folder"]
    assert "4 classes ('train', 'val', 'test', ...) are called" in text[next(iter(text))]


@pytest.mark.parametrize(
    ("one", "other", "shown"),
    [
        ("Cat", "cat", "'Cat' and 'cat'"),
        ("red car", "redcar ", "'red car' and 'redcar '"),
        ("K\u00e4fer", "Ka\u0308fer", "'Käfer' and 'Ka\\u0308fer'"),
    ],
)
def test_names_that_are_the_same_to_a_reader_are_named(one: str, other: str, shown: str) -> None:
    text = found([one, other, "b"], train=labeled("t", 0, 1, 2), val=labeled("v", 0, 1, 2))
    assert list(text) == ["similar class names"]
    assert text["similar class names"].startswith(f"the classes {shown} differ only by case, ")


def test_a_class_with_nearly_everything_is_named() -> None:
    train = labeled("t", *[0] * 38, 1)
    assert found(["a", "b"], train=train, val=labeled("v", 0)) != {}
    text = found(["a", "b"], train=train, val=labeled("v", 0, 1))["one class"]
    assert text.startswith("the class 'a' has 95.1% of all images;")
    assert found(["a", "b"], train=labeled("t", *[0] * 36, 1, 1), val=labeled("v", 0, 1)) == {}
    assert found(["a"], train=[sample("a", boxes((0, 0, 9, 9)))]) == {}


def test_a_class_that_a_split_does_not_show_is_named() -> None:
    text = found(["a", "b", "c"], train=labeled("t", 0, 1, 2), val=labeled("v", 0))
    assert text == {"class missing in a split": "val shows nothing of 2 classes ('b', 'c')"}


def test_a_file_in_two_splits_is_counted_and_named() -> None:
    train = [sample("train/a.png", 0, "x"), sample("train/b.png", 1, "y")]
    val = [sample("val/c.png", 0, "x"), sample("val/d.png", 1, "z")]
    text = found(["a", "b"], train=train, val=val)["copies across splits"]
    assert text.startswith(
        "1 image of val is byte for byte in train, too (val/c.png is train/a.png)"
    )
    twice = [sample("train/a.png", 0, "x"), sample("train/b.png", 1, "x")]
    assert found(["a", "b"], train=twice, val=labeled("v", 0, 1)) == {}


@pytest.mark.parametrize(("n_counted", "is_odd"), [(1900, True), (2100, False)])
def test_masks_that_are_mostly_ignored_are_named(n_counted: int, is_odd: bool) -> None:
    half = n_counted // 2
    mask = Mask(np.zeros((1, 1), np.uint8), counts=(half, n_counted - half))
    text = found(["a", "b"], train=[sample("a", mask)], val=[sample("b", mask)])
    assert list(text) == (["ignored pixels"] if is_odd else [])
    assert not is_odd or text["ignored pixels"].startswith("81.0% of all pixels in the masks")


def test_boxes_narrower_than_a_pixel_and_as_large_as_the_image_are_counted() -> None:
    tiny, whole, usual = (5, 5, 5.5, 9), (0, 0, 100, 99.5), (1, 1, 9, 9)
    odd = boxes(tiny, whole, usual, tiny, crowd=[False, False, False, True])
    text = found(["cell"], train=[sample("a.png", odd)], val=[sample("b.png", boxes(usual))])
    assert text == {
        "boxes under a pixel": "narrower than a pixel: 1 of 4 boxes (a.png); are they in pixels, "
        "and for images of this size?",
        "boxes over the whole image": "as large as the image: 1 of 4 boxes (a.png); is that an "
        "object, or an image without one?",
    }


def test_an_image_without_boxes_breaks_no_check() -> None:
    nothing = sample("a", boxes())
    facts = Facts(("cell",), "objects", {"train": (nothing,)}, {})
    assert warnings(facts) == ()
    assert all(check(facts) is None for check in CHECKS.values())


def test_files_are_read_with_their_copies_named(tmp_path: Path) -> None:
    from archfront.trainers.data import DataRef, load

    rng = np.random.default_rng(0)
    for part in ("train", "val"):
        for name in ("cat", "train"):
            (tmp_path / part / name).mkdir(parents=True)
            for i in range(3):
                pixels = rng.integers(0, 255, (8, 8, 3), np.uint8)
                Image.fromarray(pixels).save(tmp_path / part / name / f"{i}.png")
    copied = tmp_path / "train" / "cat" / "0.png"
    (tmp_path / "val" / "cat" / "copy.png").write_bytes(copied.read_bytes())
    ref = DataRef("folder", str(tmp_path), None, False, 0.7, 0.15, 0.15, 0, None, "stop", 64)
    checks = [warning.check for warning in load(ref).summary().warnings]
    assert checks == ["class called like a folder", "copies across splits"]
