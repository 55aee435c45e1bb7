from __future__ import annotations

import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from archfront.trainers.data.images import (
    image_size,
    read_colors,
    read_index,
    read_pixels,
    read_with_digest,
    to_pixels,
)
from archfront.trainers.errors import DataError
from tests.support.drawn_images import draw

FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    "jpeg": ("JPEG", {}),
    "progressive jpeg": ("JPEG", {"progressive": True}),
    "png": ("PNG", {}),
    "gif": ("GIF", {}),
    "webp": ("WEBP", {}),
    "tiff": ("TIFF", {}),
    "tiff with lzw": ("TIFF", {"compression": "tiff_lzw"}),
    "ppm": ("PPM", {}),
}


def saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def read(tmp_path: Path, content: bytes) -> NDArray[np.uint8]:
    file = tmp_path / "image.png"
    file.write_bytes(content)
    return read_pixels(file)


def test_a_color_image_keeps_its_pixels(tmp_path: Path) -> None:
    pixels = draw(0)
    assert np.array_equal(read(tmp_path, saved(Image.fromarray(pixels))), pixels)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "LA"])
def test_a_grey_image_has_one_channel_however_it_is_stored(tmp_path: Path, mode: str) -> None:
    grey = draw(0, channels=1)
    content = saved(Image.fromarray(grey).convert(mode))
    assert np.array_equal(read(tmp_path, content), grey[..., None])


def test_a_black_and_white_image_has_the_values_0_and_255(tmp_path: Path) -> None:
    ink = draw(0, channels=1) > 128
    assert np.array_equal(
        read(tmp_path, saved(Image.fromarray(ink)))[..., 0], np.where(ink, 255, 0)
    )


def test_transparency_is_laid_on_white(tmp_path: Path) -> None:
    rgba = draw(1, channels=4)
    alpha = rgba[..., 3:].astype(float) / 255
    expected = rgba[..., :3] * alpha + 255 * (1 - alpha)
    difference = read(tmp_path, saved(Image.fromarray(rgba))) - expected
    assert np.abs(difference).max() <= 1


def test_a_palette_with_one_transparent_color_is_laid_on_white(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1], [2, 0]], np.uint8), mode="P")
    image.putpalette([10, 20, 30, 200, 0, 0, 0, 200, 0])
    expected = [[[255, 255, 255], [200, 0, 0]], [[0, 200, 0], [255, 255, 255]]]
    assert read(tmp_path, saved(image, transparency=0)).tolist() == expected


def test_a_palette_with_an_alpha_for_each_color_is_laid_on_white(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1]], np.uint8), mode="P")
    image.putpalette([0, 0, 0, 200, 0, 0])
    content = saved(image, transparency=bytes([0, 255]))
    assert read(tmp_path, content).tolist() == [[[255, 255, 255], [200, 0, 0]]]


def test_16_bit_grey_is_scaled_and_not_clipped(tmp_path: Path) -> None:
    values = np.array([[0, 128, 129, 257], [32768, 40000, 65406, 65535]], np.uint16)
    pixels = read(tmp_path, saved(Image.fromarray(values)))
    assert pixels[..., 0].tolist() == np.rint(values / 65535 * 255).tolist()


def test_16_bit_grey_of_a_tiff_and_a_pgm_is_scaled_alike(tmp_path: Path) -> None:
    values = np.arange(0, 65536, 4369, dtype=np.uint16).reshape(4, 4)
    for kind in ("TIFF", "PPM"):
        assert read(tmp_path, saved(Image.fromarray(values), kind)).ravel().tolist() == list(
            range(0, 256, 17)
        )


def test_floating_point_and_32_bit_pixels_are_refused_with_the_remedy(tmp_path: Path) -> None:
    for dtype, words in ((np.float32, "floating-point"), (np.int32, "32 bits")):
        content = saved(Image.fromarray(np.full((4, 4), 70000, dtype)), "TIFF")
        with pytest.raises(DataError, match=f"{words}.*save it with 8 or 16 bits"):
            read(tmp_path, content)


def test_a_cmyk_image_becomes_rgb(tmp_path: Path) -> None:
    image = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    red, green, blue = read(tmp_path, saved(image, "TIFF"))[4, 4]
    assert red > 200
    assert max(green, blue) < 60


@pytest.mark.parametrize(
    ("orientation", "turned"),
    [
        (1, lambda a: a),
        (2, lambda a: a[:, ::-1]),
        (3, lambda a: a[::-1, ::-1]),
        (4, lambda a: a[::-1]),
        (5, lambda a: a.swapaxes(0, 1)),
        (6, lambda a: np.rot90(a, -1)),
        (7, lambda a: a[::-1, ::-1].swapaxes(0, 1)),
        (8, lambda a: np.rot90(a)),
    ],
)
def test_exif_rotation_is_applied(tmp_path: Path, orientation: int, turned: Any) -> None:
    pixels = draw(2)
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = saved(Image.fromarray(pixels), exif=exif)
    assert np.array_equal(read(tmp_path, content), turned(pixels))


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_cut_off_anywhere_is_broken(tmp_path: Path, kind: str) -> None:
    name, options = FORMATS[kind]
    content = saved(Image.fromarray(draw(3)), name, **options)
    read(tmp_path, content)
    for length in {*np.linspace(0, len(content) - 1, 12).astype(int).tolist(), len(content) - 2}:
        with pytest.raises(DataError, match=r"^(the file|it) "):
            read(tmp_path, content[:length])


def test_a_gif_with_bytes_after_its_end_is_whole(tmp_path: Path) -> None:
    content = saved(Image.fromarray(draw(3, channels=1)), "GIF")
    assert np.array_equal(read(tmp_path, content + b"more"), read(tmp_path, content))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"<html>404 Not Found</html>", "it is not an image of a known format"),
    ],
)
def test_a_file_without_an_image_says_so(tmp_path: Path, content: bytes, reason: str) -> None:
    with pytest.raises(DataError, match=f"^{reason}$"):
        read(tmp_path, content)


def test_a_file_that_is_gone_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the file is not there"):
        read_pixels(tmp_path / "gone.png")


def test_the_digest_of_pixels_tells_shapes_apart() -> None:
    tall, wide = np.zeros((4, 2, 1), np.uint8), np.zeros((2, 4, 1), np.uint8)
    assert read_with_digest(tall)[1] != read_with_digest(wide)[1]
    assert read_with_digest(tall)[1] == read_with_digest(tall.copy())[1]


def test_an_image_in_memory_is_treated_like_its_file(tmp_path: Path) -> None:
    image = Image.fromarray(draw(5, channels=4))
    assert np.array_equal(to_pixels(image), read(tmp_path, saved(image)))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_size_from_the_head_is_that_of_the_turned_image(
    tmp_path: Path, kind: str, orientation: int
) -> None:
    """Pillow gives a TIFF file's size as turned, so that boxes of YOLO were turned twice."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = tmp_path / "image"
    file.write_bytes(saved(Image.new("RGB", (30, 20), (9, 99, 9)), kind, exif=exif))
    expected = (30, 20) if orientation < 5 else (20, 30)
    assert image_size(file) == expected
    assert read_pixels(file).shape[1::-1] == expected
    assert read_index(file).shape[1::-1] == expected


# After the marker of a JPEG's EXIF block: nothing, noise, a short list of tags, a list that lies
# outside, an orientation that is none, and one that is a text.
ODD_EXIF = {
    "blank": b"",
    "noise": bytes(range(16)),
    "short": b"II*\0\x08\0\0\0\x05\0\x12\x01\x03\0\x01\0",
    "outside": b"II*\0\xff\xff\xff\x7f",
    "nine": b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x09\0\0\0\0\0\0\0",
    "text": b"II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x04\0\0\0abc\0\0\0\0\0",
}


@pytest.mark.parametrize("kind", ODD_EXIF)
def test_an_odd_exif_block_costs_no_image(tmp_path: Path, kind: str) -> None:
    plain = saved(Image.fromarray(draw(3)), "JPEG")
    block = b"Exif\0\0" + ODD_EXIF[kind]
    app1 = b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block
    file = tmp_path / "odd.jpg"
    file.write_bytes(plain[:2] + app1 + plain[2:])
    assert np.array_equal(read_pixels(file), read(tmp_path, plain))
    assert image_size(file) == Image.open(BytesIO(plain)).size
    assert read_index(file).shape[:2] == draw(3).shape[:2]


def huge_png(width: int, height: int) -> bytes:
    """Return a black PNG file of one bit a pixel, small however many pixels it has."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        check = zlib.crc32(kind + body).to_bytes(4, "big")
        return len(body).to_bytes(4, "big") + kind + body + check

    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\1\0\0\0\0"
    rows = zlib.compress(bytes((width + 7) // 8 + 1) * height)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def test_an_image_that_is_too_large_is_a_problem_with_a_remedy(tmp_path: Path) -> None:
    file = tmp_path / "huge.png"
    file.write_bytes(huge_png(20_000, 10_000))
    words = "it is too large: more than 178,956,970 px, .* scale it down or cut it into tiles"
    for read_file in (read_pixels, read_index):
        with pytest.raises(DataError, match=words):
            read_file(file)
    assert image_size(file) is None


def test_a_large_image_is_read_without_a_warning(tmp_path: Path) -> None:
    file = tmp_path / "large.png"
    file.write_bytes(huge_png(9_500, 9_500))
    assert image_size(file) == (9_500, 9_500)


def outcome(read: Callable[[Path], NDArray[np.uint8]], file: Path) -> str:
    """Return the type of the pixels, or why there are none."""
    try:
        return str(read(file).dtype)
    except DataError as error:
        return str(error)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM"])
def test_bytes_that_are_wrong_anywhere_give_pixels_or_a_reason(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "0"
    Image.fromarray(draw(0)).save(file, format=kind)
    whole = file.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(40):
        content = bytearray(whole)
        for place in rng.integers(0, len(whole), 3):
            content[place] = rng.integers(256)
        file.write_bytes(content)
        for read in (read_pixels, read_index, read_colors):
            assert outcome(read, file)
        image_size(file)


def test_what_the_decoder_logs_is_told_by_the_error_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "0.tif"
    Image.fromarray(draw(0)).save(file)
    samples = b"\x15\x01\x03\x00\x01\x00\x00\x00"  # the tag of samples per pixel
    file.write_bytes(file.read_bytes().replace(samples + b"\x03\x00", samples + b"\x00\x08"))
    with pytest.raises(DataError, match=r"not an image of a known format|cannot be decoded"):
        read_pixels(file)
    assert caplog.records == []
