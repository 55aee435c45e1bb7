"""Masks as other tools and people write them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from archfront.trainers.data import DataRef, load
from archfront.trainers.data.raw import RawData
from archfront.trainers.data.targets import IGNORED, Mask
from archfront.trainers.errors import DataError
from tests.support.broken_datasets import read
from tests.support.drawn_images import REF

Pixels = Any
N = 6


def blocks(*values: int) -> Pixels:
    """Return a mask of 16 x 12 px with a column of equal width for each value."""
    return np.repeat(np.array(values), 16 // len(values))[None].repeat(12, axis=0)


def write(
    root: Path,
    mask_of: Callable[[int], Pixels] = lambda index: blocks(0, 1),
    *,
    images: str = "images",
    masks: str = "masks",
    mask_name: str = "{}.png",
    numbers: range = range(N),
    **options: Any,
) -> DataRef:
    for number in numbers:
        image, mask = root / images / f"{number}.png", root / masks / mask_name.format(number)
        for file in (image, mask):
            file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 12), (number, 9, 9)).save(image)
        pixels = mask_of(number)
        made = pixels if isinstance(pixels, Image.Image) else Image.fromarray(np.uint8(pixels))
        made.save(mask, **options)
    return replace(REF, reader="masks", root=str(root), target="mask", train=0.5, val=0.5, test=0)


def shown(raw: RawData, part: str = "all") -> list[int]:
    mask = raw.parts[part][0].target
    assert isinstance(mask, Mask)
    return mask.indices()[0, :: 16 // 4].tolist()


def sizes(raw: RawData) -> Mapping[str, int]:
    return {part: len(samples) for part, samples in raw.parts.items()}


def told(raw: RawData, reason: str) -> list[str]:
    return [note.detail for note in raw.skipped if note.reason == reason]


LAYOUTS = {
    "camvid": ("{}", "{}annot", "{}.png"),
    "underscore": ("{}", "{}_masks", "{}.png"),
    "two words": ("{}_images", "{}_masks", "{}.png"),
    "images and annotations": ("images/{}", "annotations/{}", "{}.png"),
    "labels": ("{}/images", "{}/labels", "{}.png"),
    "capitals": ("{}/Images", "{}/Masks", "{}.png"),
    "roboflow": ("{}", "{}", "{}_mask.png"),
    "tails": ("{}/img", "{}/gt", "{}_gtFine_labelIds.png"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("names", [("train", "val"), ("train", "valid"), ("Train", "Val")])
def test_layouts_of_splits_are_found(tmp_path: Path, layout: str, names: tuple[str, str]) -> None:
    images, masks, mask_name = LAYOUTS[layout]
    for part in names:
        ref = write(
            tmp_path,
            images=images.format(part),
            masks=masks.format(part),
            mask_name=mask_name,
        )
    raw = read(ref)
    assert sizes(raw) == {"train": N, "val": N}
    assert raw.broken == ()
    assert shown(raw, "val") == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("images", "masks", "mask_name"),
    [
        ("JPEGImages", "SegmentationClass", "{}.png"),
        ("imgs", "gt", "{}.png"),
        ("images", "annotations", "{}_L.png"),
        (".", ".", "{}_mask.png"),
    ],
)
def test_layouts_without_splits_are_found(
    tmp_path: Path, images: str, masks: str, mask_name: str
) -> None:
    raw = read(write(tmp_path, images=images, masks=masks, mask_name=mask_name))
    assert sizes(raw) == {"all": N}
    assert raw.broken == ()


def test_lists_of_voc_are_the_splits(tmp_path: Path) -> None:
    ref = write(tmp_path, images="JPEGImages", masks="SegmentationClass")
    folder = tmp_path / "ImageSets" / "Segmentation"
    folder.mkdir(parents=True)
    (folder / "train.txt").write_bytes(b"\xef\xbb\xbf0\r\n1\r\n2\r\n")
    (folder / "val.txt").write_text("3\n4\nnone\n")
    raw = read(ref)
    assert sizes(raw) == {"train": 3, "val": 2}
    assert [problem.reason for problem in raw.broken] == ["listed image without a mask"]


@pytest.mark.parametrize("quality", [60, 90])
def test_masks_in_jpeg_are_refused(tmp_path: Path, quality: int) -> None:
    disc = np.hypot(*np.mgrid[-6:6, -8:8]) < 5
    ref = write(tmp_path, lambda _: disc * 255, mask_name="{}.jpg", quality=quality)
    for said in (ref, replace(ref, classes=("a", "b")), replace(ref, palette=(("a", (0,)),))):
        with pytest.raises(
            DataError, match=r"6 masks are JPEG files, as 0\.jpg, 1\.jpg and 2\.jpg"
        ):
            read(said)


def test_masks_in_jpeg_that_lost_nothing_are_read(tmp_path: Path) -> None:
    ref = write(tmp_path, lambda _: np.zeros((12, 16)) + 255 * (_ % 2), mask_name="{}.jpg")
    assert read(ref).class_names == ("class 0", "class 255")


def test_smoothed_edges_are_no_classes(tmp_path: Path) -> None:
    def smooth(number: int) -> Pixels:
        large = Image.fromarray(np.uint8(np.hypot(*np.mgrid[-60:60, -80:80]) < 50 + number) * 255)
        return large.resize((16, 12), Image.Resampling.BICUBIC)

    ref = write(tmp_path, smooth)
    with pytest.raises(DataError, match=r"more than 16 values.*smoothed edges.*nearest neighbor"):
        read(ref)


def test_many_classes_are_no_smoothed_edges(tmp_path: Path) -> None:
    def some(number: int) -> Pixels:
        return blocks(*range(25 * number, 25 * number + 8))

    assert len(read(write(tmp_path, some)).class_names) == 48


@pytest.mark.parametrize(
    ("values", "names", "words"),
    [
        ((0, 128, 255, 255), ("class 0", "class 128", "class 255"), "50.0% .* so it is a class"),
        ((0, 1, 255, 255), ("class 0", "class 1", "class 255"), "50.0% .* so it is a class"),
        ((0, 1, 2, 1, 0, 1, 2, 255), ("class 0", "class 1", "class 2"), "12.5% .* is ignored"),
        ((0, 2, 0, 2, 0, 2, 0, 255), ("class 0", "class 2", "class 255"), "12.5% .* is a class"),
    ],
)
def test_255_is_void_only_where_that_is_likely_and_it_is_told(
    tmp_path: Path, values: tuple[int, ...], names: tuple[str, ...], words: str
) -> None:
    raw = read(write(tmp_path, lambda _: blocks(*values)))
    assert raw.class_names == names
    (note,) = told(raw, "meaning of the value 255")
    assert re.search(words, note), note


def test_black_and_white_have_the_two_names(tmp_path: Path) -> None:
    """White was ignored beside two names, so that the second class had no image."""
    ref = replace(write(tmp_path, lambda _: blocks(0, 255)), classes=("ground", "thing"))
    raw = read(ref)
    assert shown(raw) == [0, 0, 1, 1]
    assert told(raw, "meaning of the value 255") == [
        "the masks have the values 0 and 255, so 255 is 'thing'"
    ]
    assert load(ref).class_names == ("ground", "thing")


def test_ignored_pixels_beside_names_are_told(tmp_path: Path) -> None:
    ref = replace(write(tmp_path, lambda _: blocks(0, 1, 1, 255)), classes=("ground", "thing"))
    raw = read(ref)
    assert shown(raw) == [0, 1, 1, IGNORED]
    (note,) = told(raw, "meaning of the value 255")
    assert note.startswith("255 has 25.0% of the pixels and no name in data.classes")


@pytest.mark.parametrize("classes", [None, ("ground", "thing")])
def test_masks_with_1_and_masks_with_255_are_refused(
    tmp_path: Path, classes: tuple[str, ...] | None
) -> None:
    ref = write(tmp_path, lambda number: blocks(0, 1 if number < 4 else 255))
    with pytest.raises(
        DataError, match=r"4 masks have the values 0 and 1, as 0\.png, .* and 2 0 "
    ):
        read(replace(ref, classes=classes))


def test_values_beyond_the_names_are_one_message(tmp_path: Path) -> None:
    ref = replace(write(tmp_path, lambda _: blocks(0, 1, 2, 3)), classes=("ground", "thing"))
    with pytest.raises(
        DataError, match=r"have the values 0 to 3, and .* 2 classes: ground and th"
    ):
        read(ref)


def test_classes_without_names_and_names_of_void_are_told(tmp_path: Path) -> None:
    ref = write(tmp_path)
    (note,) = told(read(ref), "classes without names")
    assert "they are called class 0 and class 1; name them with data.classes" in note
    raw = read(replace(ref, classes=("road", "Void")))
    (note,) = told(raw, "class that is called void")
    assert note.startswith("'Void' counts as a class; data.ignore_index=1")


def palette_image(pixels: Pixels) -> Image.Image:
    image = Image.fromarray(np.uint8(pixels)).convert("P")
    image.putdata(np.uint8(pixels).ravel().tolist())
    image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    return image


@pytest.mark.parametrize(
    "mask_of",
    [
        lambda _: blocks(0, 1, 2, 2),
        lambda _: palette_image(blocks(0, 1, 2, 2)),
        lambda _: Image.fromarray(np.uint16(blocks(0, 1, 2, 2))),
        lambda _: np.repeat(blocks(0, 1, 2, 2)[..., None], 3, axis=2),
    ],
    ids=["8 bits", "palette", "16 bits", "three equal channels"],
)
def test_numbers_are_read_from_any_mode(tmp_path: Path, mask_of: Callable[[int], Pixels]) -> None:
    raw = read(write(tmp_path, mask_of))
    assert raw.class_names == ("class 0", "class 1", "class 2")
    assert shown(raw) == [0, 1, 2, 2]


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_whole_numbers_of_any_width_are_read(tmp_path: Path, kind: type) -> None:
    def mask_of(_: int) -> Image.Image:
        return Image.fromarray(blocks(0, 1, 2, 2).astype(kind))

    assert shown(read(write(tmp_path, mask_of, mask_name="{}.tif"))) == [0, 1, 2, 2]


def test_wide_values_are_one_message(tmp_path: Path) -> None:
    ref = write(tmp_path, lambda _: Image.fromarray(np.uint16(blocks(0, 1, 2, 2) * 1000)))
    with pytest.raises(
        DataError, match=r"6 masks have values beyond 255.*in all 0, 1000 and 2000"
    ):
        read(ref)


COLORS = np.array([[0, 0, 0], [128, 0, 0], [0, 128, 0]], np.uint8)


def test_colors_without_names_are_listed_with_their_shares(tmp_path: Path) -> None:
    ref = write(tmp_path, lambda _: COLORS[blocks(0, 1, 2, 2)])
    words = r"6 masks have colors, .*, 3 colors: \(0, 128, 0\) 50%, \(0, 0, 0\) 25%, \(128, 0, 0\)"
    with pytest.raises(DataError, match=words):
        read(ref)


@pytest.mark.parametrize("has_palette", [False, True])
def test_colors_of_cvat_have_the_names_of_its_file(tmp_path: Path, has_palette: bool) -> None:
    def mask_of(_: int) -> Pixels:
        numbers = blocks(0, 1, 2, 2)
        return palette_image(numbers) if has_palette else COLORS[numbers]

    ref = write(tmp_path, mask_of, images="JPEGImages", masks="SegmentationClass")
    (tmp_path / "labelmap.txt").write_text(
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\nblue:0,128,0::\nred:128,0,0::\n"
    )
    raw = read(ref)
    assert raw.class_names == ("background", "blue", "red")
    assert shown(raw) == [0, 2, 1, 1]


def test_values_of_roboflow_and_lists_of_names_are_used(tmp_path: Path) -> None:
    ref = write(tmp_path)
    (tmp_path / "codes.txt").write_text("ground\nthing\n")
    assert read(ref).class_names == ("ground", "thing")
    (tmp_path / "_classes.csv").write_text("Pixel Value, Class\n1, one\n0, none\n")
    raw = read(ref)
    assert raw.class_names == ("one", "none")
    assert shown(raw) == [1, 1, 0, 0]
    assert read(replace(ref, classes=("a", "b"))).class_names == ("a", "b")


def test_a_mask_that_is_not_turned_as_its_image_says_so(tmp_path: Path) -> None:
    ref = write(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 6
    for number in range(N):
        file = tmp_path / "images" / f"{number}.png"
        Image.open(file).save(file, exif=exif)
    with pytest.raises(DataError, match="6 of the kind: mask of another size") as caught:
        load(ref)
    assert "the image is turned by its EXIF data and the mask is not" in str(caught.value)


def test_images_beside_the_folders_of_splits_are_told(tmp_path: Path) -> None:
    """They were divided, and those of them that came to train were gone without a word."""
    for folder in ("train", "val", "."):
        ref = write(tmp_path, images=folder, masks=folder, mask_name="{}_mask.png")
    raw = read(ref)
    assert sizes(raw) == {"train": N, "val": N}
    assert len(told(raw, "image outside of the splits")) == N


def test_values_below_0_are_not_said_to_end_beyond_255(tmp_path: Path) -> None:
    def mask_of(_: int) -> Image.Image:
        return Image.fromarray((blocks(0, 1, 2, 2) - 1).astype(np.int32))

    with pytest.raises(DataError, match="its values begin at -1; indices begin at 0"):
        load(write(tmp_path, mask_of, mask_name="{}.tif"))
