"""Images outside of the root: those of names are refused unless allowed, those of links told."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from archfront.trainers.data import DataRef
from archfront.trainers.errors import DataError
from tests.support.broken_datasets import read
from tests.support.drawn_datasets import (
    coco_content,
    stem,
    write_coco,
    write_images,
    write_masks,
    write_yolo,
)
from tests.support.drawn_images import REF

N = 24


def absolute_coco(root: Path) -> DataRef:
    return renamed_coco(root, str(root.parent / "elsewhere"))


def climbing_coco(root: Path) -> DataRef:
    return renamed_coco(root, "../../elsewhere")


def renamed_coco(root: Path, folder: str) -> DataRef:
    content = coco_content()
    for image in content["images"]:
        image["file_name"] = f"{folder}/{image['file_name']}"
    ref = write_coco(root, content)
    (root / "images").rename(root.parent / "elsewhere")
    (root / "images").mkdir()
    return ref


def linked_coco(root: Path) -> DataRef:
    ref = write_coco(root)
    (root / "images").rename(root.parent / "elsewhere")
    (root / "images").symlink_to(root.parent / "elsewhere")
    return ref


def linked_files_coco(root: Path) -> DataRef:
    ref = write_coco(root)
    (root / "images").rename(root.parent / "elsewhere")
    (root / "images").mkdir()
    for index in range(N):
        name = f"{stem(index)}.png"
        (root / "images" / name).symlink_to(root.parent / "elsewhere" / name)
    return ref


def listed_yolo(root: Path) -> DataRef:
    ref = write_yolo(root)
    write_images(root.parent / "elsewhere")
    for index in range(N):
        (root / "labels" / f"{stem(index)}.txt").rename(
            root.parent / "elsewhere" / f"{stem(index)}.txt"
        )
        (root / "images" / f"{stem(index)}.png").unlink()
    lines = [f"{root.parent}/elsewhere/{stem(index)}.png" for index in range(N)]
    (root / "list.txt").write_text("\n".join(lines))
    (root / "data.yaml").write_text("train: list.txt\nnames: [circle, square, triangle]\n")
    return ref


def yaml_yolo(root: Path) -> DataRef:
    ref = listed_yolo(root)
    (root / "data.yaml").write_text(
        f"path: {root.parent}\ntrain: elsewhere\nnames: [circle, square, triangle]\n"
    )
    return ref


def linked_class(root: Path) -> DataRef:
    write_images(root.parent / "elsewhere")
    (root / "circle").symlink_to(root.parent / "elsewhere")
    return replace(REF, reader="folder", root=str(root))


def linked_files_of_a_class(root: Path) -> DataRef:
    ref = linked_class(root)
    (root / "circle").unlink()
    (root / "circle" / "deeper").mkdir(parents=True)
    for index in range(N):
        name = f"{stem(index)}.png"
        (root / "circle" / "deeper" / name).symlink_to(root.parent / "elsewhere" / name)
    return ref


def linked_masks(root: Path) -> DataRef:
    ref = write_masks(root)
    (root / "masks").rename(root.parent / "elsewhere")
    (root / "masks").symlink_to(root.parent / "elsewhere")
    return ref


def linked_folder_below_masks(root: Path) -> DataRef:
    ref = write_masks(root)
    for name in ("images", "masks"):
        (root / name).rename(root.parent / f"real {name}")
        (root / name).mkdir()
    (root.parent / "real masks").rename(root.parent / "elsewhere")
    (root / "masks" / "more").symlink_to(root.parent / "elsewhere")
    (root.parent / "real images").rename(root / "images" / "more")
    return ref


@pytest.mark.parametrize(
    "make",
    [absolute_coco, climbing_coco, linked_coco, linked_files_coco, listed_yolo, yaml_yolo],
    ids=lambda make: make.__name__,
)
def test_images_outside_are_counted_named_and_allowed(
    tmp_path: Path, make: Callable[[Path], DataRef]
) -> None:
    (tmp_path / "root").mkdir()
    ref = make(tmp_path / "root")
    with pytest.raises(DataError, match=f"24 images lie outside of data.root {tmp_path}") as told:
        read(ref)
    message = str(told.value)
    assert "elsewhere/00000.png" in message
    assert "and 21 more" in message
    assert "data.outside_root=allow" in message
    raw = read(replace(ref, outside_root="allow"))
    assert len(raw.parts["all"]) == N
    assert raw.broken == ()


def test_a_root_that_is_a_link_holds_its_images(tmp_path: Path) -> None:
    write_coco(tmp_path / "real")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    named = str(tmp_path / "link" / "all.json")
    ref = replace(write_coco(tmp_path / "other"), root=str(tmp_path / "link"), annotations=named)
    assert len(read(ref).parts["all"]) == N


def test_climbing_within_the_root_is_no_leaving(tmp_path: Path) -> None:
    content = coco_content()
    for image in content["images"]:
        image["file_name"] = f"../images/{image['file_name']}"
    ref = write_coco(tmp_path, content)
    (tmp_path / "annotations").mkdir()
    file = tmp_path / "annotations" / "all.json"
    file.write_text(json.dumps(content))
    assert len(read(replace(ref, annotations=str(file))).parts["all"]) == N


@pytest.mark.parametrize(
    "make",
    [linked_class, linked_files_of_a_class, linked_masks, linked_folder_below_masks],
    ids=lambda make: make.__name__,
)
def test_links_of_folders_are_followed_and_told(
    make: Callable[[Path], DataRef], tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    raw = read(make(tmp_path / "data"))
    assert len(raw.parts["all"]) == N
    told = [note for note in raw.skipped if "outside of data.root" in note.reason]
    assert len(told) == N
    assert all(note.is_note and "elsewhere" in note.detail for note in told)


def test_links_within_the_root_and_to_nothing_are_not_outside(tmp_path: Path) -> None:
    write_images(tmp_path / "a" / "real")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "linked").symlink_to(tmp_path / "a" / "real")
    (tmp_path / "b" / "gone.png").symlink_to(tmp_path.parent / "gone.png")
    raw = read(replace(REF, reader="folder", root=str(tmp_path)))
    names = [sample.name for sample in raw.parts["all"]]
    assert (len(names), names[N], names[-1]) == (
        2 * N + 1,
        "b/gone.png",
        f"b/linked/{stem(23)}.png",
    )
