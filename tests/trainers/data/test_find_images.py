"""The names of images mean the same in every format that names them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from archfront.trainers.data import DataRef
from archfront.trainers.data.readers.find_images import ImageFinder
from tests.support.broken_datasets import read
from tests.support.drawn_datasets import (
    coco_content,
    stem,
    write_coco,
    write_images,
    write_table,
    write_voc,
)
from tests.support.drawn_images import REF

N = 24
Rename = Callable[[str], str]


def coco(root: Path, rename: Rename) -> DataRef:
    content = coco_content()
    for image in content["images"]:
        image["file_name"] = rename(f"images/{image['file_name']}")
    return write_coco(root, content)


def voc(root: Path, rename: Rename) -> DataRef:
    ref = write_voc(root)
    (root / "JPEGImages").rename(root / "images")
    for index in range(N):
        file = root / "Annotations" / f"{stem(index)}.xml"
        said = file.read_text().replace(f"{stem(index)}.png", rename(f"images/{stem(index)}.png"))
        file.with_name(f"x{file.name}").write_text(said)
        file.unlink()
    (root / "ImageSets" / "Main").mkdir(parents=True)
    names = "\n".join(f"x{stem(index)}" for index in range(N))
    (root / "ImageSets" / "Main" / "train.txt").write_text(names)
    return ref


def yolo(root: Path, rename: Rename) -> DataRef:
    write_images(root / "images")
    (root / "labels").mkdir()
    for index in range(N):
        (root / "labels" / f"{stem(index)}.txt").write_text("0 .5 .5 .2 .2")
    names = [rename(f"images/{stem(index)}.png") for index in range(N)]
    (root / "list.txt").write_text("\n".join(names))
    (root / "data.yaml").write_text("train: list.txt\nnames: [circle]\n")
    return replace(REF, reader="yolo", root=str(root), target="boxes")


def table(root: Path, rename: Rename) -> DataRef:
    ref = write_table(root, "label")
    write_images(root / "images")
    for index in range(N):
        (root / f"{stem(index)}.png").unlink()
    said = (root / "labels.csv").read_text()
    for index in range(N):
        said = said.replace(f"{stem(index)}.png", rename(f"images/{stem(index)}.png"))
    (root / "labels.csv").write_text(said)
    return ref


RENAMES: dict[str, Rename] = {
    "backslashes": lambda name: f".\\{name}".replace("/", "\\"),
    "windows": lambda name: f"C:\\Users\\me\\{name}".replace("/", "\\"),
    "another machine": lambda name: f"/content/drive/{name.removeprefix('images/')}",
    "above": lambda name: f"../upload/{name.removeprefix('images/')}",
    "the root too": lambda name: f"animals/{name}",
    "no folder": lambda name: name.removeprefix("images/"),
    "no ending": lambda name: name.removesuffix(".png"),
    "capitals": str.upper,
    "quoted": lambda name: f"data/local-files/?d={name.replace('images', '%69mages')}",
}


@pytest.mark.parametrize("write", [coco, voc, yolo, table], ids=lambda write: write.__name__)
@pytest.mark.parametrize("rename", RENAMES.values(), ids=RENAMES)
def test_a_name_with_one_clear_meaning_is_found(
    tmp_path: Path, write: Callable[[Path, Rename], DataRef], rename: Rename
) -> None:
    raw = read(write(tmp_path, rename))
    assert raw.broken == ()
    assert [s.name for s in raw.parts["all"]] == [f"images/{stem(i)}.png" for i in range(N)]


@pytest.mark.parametrize("write", [coco, voc, yolo, table], ids=lambda write: write.__name__)
def test_an_image_with_another_ending_is_told_with_the_one_there(
    tmp_path: Path, write: Callable[[Path, Rename], DataRef]
) -> None:
    ref = write(tmp_path, lambda name: name.replace("0.png", "0.jpg"))
    assert {problem.detail.split(", but ")[1] for problem in read(ref).broken} == {
        f"{stem(index)}.png is" for index in (0, 10, 20)
    }


def finder(root: Path, files: tuple[str, ...], names: tuple[str, ...] = ()) -> ImageFinder:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(b"")
    return ImageFinder(replace(REF, root=str(root)), root, (root,), names)


def test_hidden_files_and_thumbnails_are_never_found_by_the_end_of_a_name(tmp_path: Path) -> None:
    found = finder(tmp_path, (".trash/a.png", "@eaDir/a.png", "a.png.txt", "deep/._a.png"))
    assert found.find("a.png") is None
    assert finder(tmp_path, ("deep/A.PNG",)).find("a.png") == tmp_path / "deep" / "A.PNG"


def test_names_that_differ_in_case_only_are_two_images(tmp_path: Path) -> None:
    found = finder(tmp_path, ("x/a.png", "x/A.png"))
    assert found.find("a.png") == tmp_path / "x" / "a.png"
    assert found.find("C:\\y\\A.png") == tmp_path / "x" / "A.png"


def test_linked_folders_are_looked_into_once(tmp_path: Path) -> None:
    finder(tmp_path, ("other/a.png",))
    (tmp_path / "root" / "x").mkdir(parents=True)
    (tmp_path / "root" / "x" / "linked").symlink_to(tmp_path / "other")
    (tmp_path / "other" / "loop").symlink_to(tmp_path / "root")
    found = finder(tmp_path / "root", ())
    assert found.find("a.png") == tmp_path / "root" / "x" / "linked" / "a.png"


def test_folders_of_another_split_are_not_left_off(tmp_path: Path) -> None:
    files = ("images/0.png", "images/1.png")
    places = (tmp_path / "images",)
    finder(tmp_path, files)
    ref = replace(REF, root=str(tmp_path))
    assert ImageFinder(ref, tmp_path, places, ["val/0.png", "val/1.png"]).find("val/0.png") is None
    other = ImageFinder(ref, tmp_path, places, ["mine/0.png", "mine/1.png"])
    assert other.find("mine/0.png") == tmp_path / "images" / "0.png"


@pytest.mark.parametrize(("rule", "place"), [("forbid", "root/images"), ("allow", "first/images")])
def test_a_copy_below_the_root_counts_unless_other_places_are_allowed(
    tmp_path: Path, rule: str, place: str
) -> None:
    finder(tmp_path, ("first/images/a.png", "first/b.png", "root/images/a.png", "root/c/b.png"))
    ref = replace(REF, root=str(tmp_path / "root"), outside_root=rule)
    root = tmp_path / "root"
    found = ImageFinder(ref, root, (root,), ())
    assert found.find(str(tmp_path / "first" / "images" / "a.png")) == tmp_path / place / "a.png"
    # A file that is there is not that of another folder which only has its name.
    assert found.find(str(tmp_path / "first" / "b.png")) == tmp_path / "first" / "b.png"


def test_a_file_without_its_content_behind_a_link_is_not_found(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to(tmp_path / "gone.png")
    assert finder(tmp_path, ()).find("a.png") is None


def test_images_and_files_of_folders_follow_the_same_links(tmp_path: Path) -> None:
    """Masks and YOLO's images in linked folders were passed over without a word."""
    from archfront.trainers.data.readers.paths import files_below, images_below

    finder(tmp_path, ("other/b.PNG", "other/.c.png", "root/a.png", "root/a.txt"))
    root = tmp_path / "root"
    (root / "more").symlink_to(tmp_path / "other")
    names = [file.relative_to(root).as_posix() for file in images_below(root)]
    assert names == ["a.png", "more/b.PNG"]
    assert [file.name for file in files_below(root)] == ["a.png", "a.txt", "b.PNG"]


def test_a_folder_that_goes_while_it_is_walked_has_no_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from archfront.trainers.data.readers.paths import files_below

    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.png").touch()
    scan = os.scandir

    def gone(path: str) -> object:
        if Path(path).name == "a":
            raise FileNotFoundError(2, "No such file or directory", path)
        return scan(path)

    monkeypatch.setattr("os.scandir", gone)
    assert [file.parent.name for file in files_below(tmp_path)] == ["b"]
