"""YOLO's files as other tools and people write them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from archfront.trainers.data import DataRef, load
from archfront.trainers.errors import DataError
from tests.support.broken_datasets import objects_of, read
from tests.support.drawn_images import REF

YAML = "names: [red, blue]\ntrain: images/train\nval: images/val\n"
BOXES = ("0 0.5 0.5 0.5 0.5", "1 0.25 0.25 0.2 0.2")
PIXELS = [[5, 4, 15, 12], [3, 2.4, 7, 5.6]]  # of BOXES in 20 x 16 px


def write(
    root: Path,
    lines: Sequence[str] = BOXES,
    *,
    yaml: str | None = YAML,
    images: str = "images/{}",
    labels: str = "labels/{}",
    parts: Sequence[str] = ("train", "val"),
    encoding: str = "utf-8",
    target: str = "boxes",
) -> DataRef:
    """Write three images of 20 x 16 px a split, each with the same lines."""
    for part in parts:
        for index in range(3):
            stem = f"{part}_{index}"
            image = root / images.format(part) / f"{stem}.png"
            label = root / labels.format(part) / f"{stem}.txt"
            for file in (image, label):
                file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (20, 16), (index, len(part), 9)).save(image)
            label.write_text("\n".join(lines), encoding=encoding)
    if yaml is not None:
        (root / "data.yaml").write_text(yaml)
    return replace(REF, reader="yolo", root=str(root), target=target)


def with_points(line: str, points: str) -> str:
    return f"{line} {points}"


def boxes(ref: DataRef) -> list[list[float]]:
    found = objects_of(read(ref), "train_0.png").boxes.tolist()
    return [[round(value, 3) for value in box] for box in found]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize(
    "lines",
    [BOXES, [f"{line[0]}.0{line[1:]}" for line in BOXES], [f" {b}\t\r\n\r" for b in BOXES]],
    ids=["plain", "classes as floats", "blanks"],
)
def test_boxes_are_read_in_any_spelling(
    tmp_path: Path, lines: Sequence[str], encoding: str
) -> None:
    ref = write(tmp_path, lines, encoding=encoding)
    assert boxes(ref) == PIXELS
    assert read(ref).broken == ()


POINTS_2 = "0.5 0.5 0.4 0.6 0.6 0.4"
POINTS_3 = "0.5 0.5 2 0.4 0.6 1 0 0 0"


@pytest.mark.parametrize(("shape", "points"), [("[3, 2]", POINTS_2), ("[3, 3]", POINTS_3)])
def test_key_points_behind_a_box_are_no_polygon(tmp_path: Path, shape: str, points: str) -> None:
    lines = [with_points("0 0.5 0.5 0.5 0.5", points)]
    ref = write(tmp_path, lines, yaml=f"{YAML}kpt_shape: {shape}\n")
    assert boxes(ref) == PIXELS[:1]
    with pytest.raises(DataError, match="it is a box with key points, without an outline"):
        load(replace(ref, target="outlines"))
    with pytest.raises(DataError, match=r"6 of the kind: line that .*\n.*kpt_shape \[9, 2\] need"):
        load(write(tmp_path, lines, yaml=f"{YAML}kpt_shape: [9, 2]\n"))


@pytest.mark.parametrize(("shape", "points"), [(r"\[3, 2\]", POINTS_2)])
def test_key_points_that_are_not_said_are_refused(tmp_path: Path, shape: str, points: str) -> None:
    ref = write(tmp_path, [with_points("0 0.5 0.5 0.5 0.5", points)])
    with pytest.raises(DataError, match=f"6 of the kind: key points .*\n.*kpt_shape: {shape}"):
        load(ref)


def test_polygons_of_one_number_of_points_stay_polygons(tmp_path: Path) -> None:
    """Boxes that are turned have four corners each, as all of a dataset have."""
    corners = "0 0.2 0.2 0.6 0.2 0.6 0.8 0.2 0.8"
    hexagon = "1 0.1 0.5 0.2 0.2 0.5 0.1 0.8 0.2 0.9 0.5 0.5 0.9"
    assert boxes(write(tmp_path, [corners])) == [[4, 3.2, 12, 12.8]]
    assert boxes(write(tmp_path, [hexagon])) == [[2, 1.6, 18, 14.4]]


@pytest.mark.parametrize(
    ("rest", "kind"),
    [
        ("0.87", "sixth number behind a box"),
        ("12", "sixth number behind a box"),
        ("0.87 1", "track behind a box"),
        ("1 0.87 0.1", "line that is no object"),
    ],
)
def test_what_predictions_have_behind_a_box_is_one_kind_of_problem(
    tmp_path: Path, rest: str, kind: str
) -> None:
    with pytest.raises(DataError, match=f"has 12 problems.*\n  - 12 of the kind: {kind}") as told:
        load(write(tmp_path, [with_points(line, rest) for line in BOXES]))
    assert str(told.value).splitlines()[-1] == (
        "  Without what is broken, 2 classes have no image: 'red' and 'blue'"
    )


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("[no, yes]", ("no", "yes")),
        ("{0: on, 1: off}", ("on", "off")),
        ("{'0': red, '1': blue}", ("red", "blue")),
        ("[007, 1.50]", ("007", "1.50")),
        ("[null, ~]", ("null", "~")),
    ],
)
def test_names_are_what_is_written(tmp_path: Path, names: str, expected: tuple[str, str]) -> None:
    ref = write(tmp_path, yaml=f"names: {names}\ntrain: images/train\nval: images/val\n")
    assert read(ref).class_names == expected


def test_a_number_of_classes_that_is_another_is_told(tmp_path: Path) -> None:
    (note,) = read(write(tmp_path, yaml=f"nc: 3\n{YAML}")).skipped
    assert note.detail == "data.yaml says nc: 3 and has 2 names; the names count"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    "line",
    ["images/{0}/{1}", "./images/{0}/{1}", "data/images/{0}/{1}", "C:\\x\\images\\{0}\\{1}"],
)
def test_lines_of_lists_are_found_below_the_root(tmp_path: Path, line: str, end: str) -> None:
    ref = write(tmp_path, yaml="names: [red, blue]\ntrain: train.txt\nval: val.txt\n")
    for part in ("train", "val"):
        text = end.join(line.format(part, f"{part}_{i}.png") for i in range(3))
        (tmp_path / f"{part}.txt").write_bytes(b"\xef\xbb\xbf" + text.encode())
    raw = read(ref)
    assert {part: len(samples) for part, samples in raw.parts.items()} == {"train": 3, "val": 3}
    assert raw.broken == ()


def test_a_listed_image_of_another_split_is_not_found(tmp_path: Path) -> None:
    ref = write(tmp_path, yaml="names: [red, blue]\ntrain: train.txt\nval: val.txt\n")
    (tmp_path / "train.txt").write_text("/x/train/train_0.png\n/x/train/train_1.png\n")
    (tmp_path / "val.txt").write_text("/x/valid/train_2.png\n/x/valid/val_0.png\n")
    raw = read(ref)
    assert {part: len(samples) for part, samples in raw.parts.items()} == {"train": 2, "val": 1}
    assert [problem.name for problem in raw.broken] == ["/x/valid/train_2.png"]


def test_listed_images_that_are_not_there_are_not_blamed_on_labels(tmp_path: Path) -> None:
    ref = write(tmp_path, yaml="names: [red, blue]\ntrain: train.txt\n")
    (tmp_path / "train.txt").write_text("a.png\nb.png\n")
    with pytest.raises(DataError, match=r"has none of the 2 images that are listed: a\.png is"):
        read(ref)


@pytest.mark.parametrize("entry", ["../{}/images", "{}/images", "/content/set/{}/images", "{}"])
def test_exports_of_roboflow_are_found(tmp_path: Path, entry: str) -> None:
    yaml = f"names: [red, blue]\ntrain: {entry.format('train')}\nval: {entry.format('valid')}\n"
    ref = write(
        tmp_path, yaml=yaml, images="{}/images", labels="{}/labels", parts=("train", "valid")
    )
    raw = read(ref)
    assert {part: len(samples) for part, samples in raw.parts.items()} == {"train": 3, "val": 3}
    (tmp_path / "data.yaml").unlink()
    (tmp_path / "classes.txt").write_text("\ufeffred\r\nblue\r\n")
    assert {part: len(samples) for part, samples in read(ref).parts.items()} == {
        "train": 3,
        "val": 3,
    }


@pytest.mark.parametrize(
    ("images", "labels"), [("Images/{}", "Labels/{}"), ("{}/IMAGES", "{}/LABELS")]
)
def test_folders_in_capitals_are_found(tmp_path: Path, images: str, labels: str) -> None:
    ref = write(tmp_path, yaml=None, images=images, labels=labels, parts=("Train", "Val"))
    raw = read(ref)
    assert {part: len(samples) for part, samples in raw.parts.items()} == {"train": 3, "val": 3}
    assert len(objects_of(raw, "Train_0.png")) == 2


@pytest.mark.parametrize("entry", ["../test/images", "test.txt", "images/empty"])
def test_a_test_split_that_is_not_there_is_told(tmp_path: Path, entry: str) -> None:
    """Exports name one that nobody asked for, and lists of others come without images."""
    ref = write(tmp_path, yaml=f"{YAML}test: {entry}\n")
    (tmp_path / "images" / "empty").mkdir()
    if entry == "test.txt":
        (tmp_path / entry).write_text("images/test2017/1.jpg\nimages/test2017/2.jpg\n")
    raw = read(ref)
    assert list(raw.parts) == ["train", "val"]
    assert raw.broken == ()
    assert [note.reason for note in raw.skipped] == ["test split without images"]


@pytest.mark.parametrize("entry", ["gone", "../valid/images", "/content/valid/images"])
def test_a_val_split_that_is_not_there_is_not_all_images(tmp_path: Path, entry: str) -> None:
    ref = write(tmp_path, yaml=f"names: [r, b]\ntrain: images/train\nval: {entry}\n")
    with pytest.raises(DataError, match=f"names {entry}, which is not at"):
        read(ref)


def test_a_test_split_without_labels_is_told_and_left_out(tmp_path: Path) -> None:
    ref = write(tmp_path, yaml=f"{YAML}test: images/test\n", parts=("train", "val", "test"))
    for file in (tmp_path / "labels" / "test").iterdir():
        file.unlink()
    dataset = load(ref)
    assert list(dataset.splits) == ["train", "val"]
    assert "test split without annotations" in {note.reason for note in dataset.skipped}


def test_entries_as_windows_writes_them_are_found(tmp_path: Path) -> None:
    ref = write(tmp_path, yaml="names: [r, b]\ntrain: images\\train\nval: .\\images\\val\n")
    assert {part: len(samples) for part, samples in read(ref).parts.items()} == {
        "train": 3,
        "val": 3,
    }


@pytest.mark.parametrize("images", ["{}", "images/{}"])
def test_labels_beside_their_images_are_found_below_any_folder(
    tmp_path: Path, images: str
) -> None:
    """A folder called images above the root was taken for that of the images."""
    root = tmp_path / "images" / "set"
    yaml = f"names: [r, b]\ntrain: {images.format('train')}\nval: {images.format('val')}\n"
    raw = read(write(root, yaml=yaml, images=images, labels=images))
    assert raw.skipped == ()
    assert len(objects_of(raw, "train_0.png")) == 2


@pytest.mark.parametrize(
    ("folder", "names"),
    [(".", "classes.txt"), ("obj_train_data", "obj.names"), ("data", "x.names")],
)
def test_one_folder_of_images_and_labels_is_read(tmp_path: Path, folder: str, names: str) -> None:
    ref = write(tmp_path, yaml=None, images=folder, labels=folder, parts=("train",))
    (tmp_path / names).write_text("red\nblue\n")
    raw = read(ref)
    assert raw.class_names == ("red", "blue")
    assert len(raw.parts["all"]) == 3


def test_exports_of_cvat_are_read(tmp_path: Path) -> None:
    folder = "obj_train_data"
    ref = write(tmp_path, yaml=None, images=folder, labels=folder, parts=("train",))
    (tmp_path / "obj.names").write_text("red\nblue\n")
    (tmp_path / "obj.data").write_text("classes = 2\ntrain = data/train.txt\n")
    lines = [f"data/obj_train_data/train_{index}.png\n" for index in (0, 2)]
    (tmp_path / "train.txt").write_text("".join(lines))
    raw = read(ref)
    assert [sample.name for sample in raw.parts["all"]] == [
        "obj_train_data/train_0.png",
        "obj_train_data/train_2.png",
    ]
    assert raw.class_names == ("red", "blue")


def test_val_that_is_train_is_one_short_error(tmp_path: Path) -> None:
    ref = write(tmp_path, yaml="names: [red, blue]\ntrain: images/train\nval: images/train\n")
    with pytest.raises(DataError, match="names images/train for val, and its images are the same"):
        read(ref)


def test_two_images_of_one_file_of_labels_are_told(tmp_path: Path) -> None:
    ref = write(tmp_path)
    Image.new("RGB", (20, 16)).save(tmp_path / "images/train/train_0.jpg")
    (problem,) = read(ref).broken
    assert problem.detail == (
        "images/train/train_0.png and images/train/train_0.jpg share the labels "
        "labels/train/train_0.txt; move one away"
    )


def test_settings_beside_the_yaml_file_are_not_taken_for_it(tmp_path: Path) -> None:
    ref = write(tmp_path, yaml=None)
    (tmp_path / "coco8.yaml").write_text(YAML)
    (tmp_path / "hyp.yaml").write_text("lr0: 0.01\n")
    assert read(ref).class_names == ("red", "blue")


def test_a_yaml_file_that_is_nested_too_deep_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.yaml does not parse as yaml"):
        read(write(tmp_path, yaml="names: " + "[" * 1000))


def test_classes_without_names_are_told(tmp_path: Path) -> None:
    raw = read(write(tmp_path, yaml=None))
    assert raw.class_names == ("class 0", "class 1")
    assert [note.reason for note in raw.skipped] == ["classes without names"]


def test_a_class_number_beyond_all_reason_is_a_problem(tmp_path: Path) -> None:
    ref = write(tmp_path, [*BOXES, "1000000000 0.5 0.5 0.1 0.1"], yaml=None)
    raw = read(ref)
    assert raw.class_names == ("class 0", "class 1")
    assert {problem.reason for problem in raw.broken} == {"unknown category"}


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_boxes_of_a_turned_image_are_shares_of_what_is_seen(tmp_path: Path, kind: str) -> None:
    ref = write(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (16, 20)).save(tmp_path / "images/train/train_0.png", kind, exif=exif)
    assert boxes(ref) == PIXELS


def test_an_object_is_named_by_the_line_of_its_labels(tmp_path: Path) -> None:
    """It read as the line of an image."""
    ref = write(tmp_path, [*BOXES, "1 0.5 0.5 0 0"])
    with pytest.raises(DataError) as caught:
        load(ref)
    where = "images/train/train_0.png, line 3 of its labels: its box"
    assert f"\n      {where} (x1, y1, x2, y2) = (10, 8, 10, 8) has no area" in str(caught.value)


def test_boxes_where_outlines_are_needed_name_the_task_that_learns_from_them(
    tmp_path: Path,
) -> None:
    """Every line of a dataset for detection was a problem, without a word on the task."""
    with pytest.raises(DataError) as caught:
        load(write(tmp_path, target="outlines"))
    kind = "12 of the kind: object without an outline (task=detection learns from boxes alone)"
    assert kind in str(caught.value)


def test_what_was_left_out_is_told_where_nothing_is_left(tmp_path: Path) -> None:
    """Skipping what is broken hid the reason why no image shows an object."""
    ref = replace(write(tmp_path, ["0 100 80 50 40"]), on_error="skip")
    with pytest.raises(DataError, match="none of the 3 images of train shows") as caught:
        load(ref)
    assert "6 problems were left out:\n  - 6 of the kind: coordinates that are no" in str(
        caught.value
    )


def test_two_classes_of_one_name_are_refused(tmp_path: Path) -> None:
    """Only one of them was counted, and weights by class were those of other classes."""
    ref = write(tmp_path, yaml=YAML.replace("blue", "red"))
    with pytest.raises(DataError, match="the classes 0 and 1, counted from 0, are all called 'r"):
        load(ref)


@pytest.mark.parametrize("entry", ["/closed/data/images/train", "x" * 300 + "/images/train"])
def test_entries_that_cannot_be_looked_at_are_those_of_another_machine(
    tmp_path: Path, entry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path below /root, as containers have it, ended the study of other users."""
    exists = Path.exists

    def guarded(path: Path) -> bool:
        if str(path).startswith("/closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return exists(path)

    ref = write(tmp_path, yaml=YAML.replace("images/train", entry))
    monkeypatch.setattr(Path, "exists", guarded)
    assert len(read(ref).parts["train"]) == 3
