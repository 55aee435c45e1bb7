"""What is opened as an image at all: regular files, a few formats, a size that memory holds."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from archfront.trainers.data import images
from archfront.trainers.data.image_files import PixelLimit
from archfront.trainers.data.images import (
    image_size,
    pixels_in,
    read_index,
    read_pixels,
    read_with_digest,
)
from archfront.trainers.errors import DataError
from archfront.trainers.files import read_file, read_text
from tests.support.drawn_images import draw
from tests.trainers.data.test_images import saved

READ = (read_pixels, read_with_digest, read_index)


@pytest.mark.parametrize("read", READ)
class TestKindsOfFiles:
    def test_a_pipe_is_told_and_not_waited_for(self, tmp_path: Path, read: Any) -> None:
        os.mkfifo(tmp_path / "pipe.png")
        with pytest.raises(DataError, match=r"^it is a named pipe, not a file$"):
            read(tmp_path / "pipe.png")

    def test_a_link_to_a_device_is_told_with_its_target(self, tmp_path: Path, read: Any) -> None:
        (tmp_path / "zero.png").symlink_to("/dev/zero")
        with pytest.raises(DataError, match=r"^it is a link to /dev/zero, a device, not a file$"):
            read(tmp_path / "zero.png")

    def test_a_link_to_an_image_is_read(self, tmp_path: Path, read: Any) -> None:
        (tmp_path / "image.png").write_bytes(saved(Image.fromarray(draw(0))))
        (tmp_path / "link.png").symlink_to("image.png")
        assert np.array_equal(read(tmp_path / "link.png")[0], read(tmp_path / "image.png")[0])

    def test_a_folder_is_no_image(self, tmp_path: Path, read: Any) -> None:
        with pytest.raises(DataError, match=r"^it is a folder, not a file$"):
            read(tmp_path)

    def test_only_listed_formats_are_opened(
        self, tmp_path: Path, read: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Pillow takes PostScript for an image, whatever it is called, and calls ghostscript."""
        started: list[Any] = []
        monkeypatch.setattr(subprocess, "Popen", lambda *given, **_: started.append(given))
        file = tmp_path / "image.png"
        file.write_bytes(saved(Image.fromarray(draw(0)), "EPS"))
        with pytest.raises(DataError, match=r"^it is not an image of a known format$"):
            read(file)
        assert started == []


def test_the_size_of_what_is_no_file_is_unknown(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    assert image_size(tmp_path / "pipe.png") is None


class TestSize:
    def test_an_image_above_the_limit_is_refused_with_its_size(self, tmp_path: Path) -> None:
        (tmp_path / "a.png").write_bytes(saved(Image.fromarray(draw(0))))
        height, width = draw(0).shape[:2]
        message = rf"^it is too large: {width} x {height} px, more than the 10 px of max_pixels; "
        for read in READ:
            with pytest.raises(DataError, match=message):
                read(tmp_path / "a.png", PixelLimit(10))
            read(tmp_path / "a.png", PixelLimit(width * height))

    def test_a_jpeg_is_shrunk_where_no_place_counts(self) -> None:
        pixels = draw(0, width=77, height=101)
        content = saved(Image.fromarray(pixels), "JPEG")
        whole = PixelLimit(101 * 77, shrinks=True)
        assert pixels_in(content, whole).shape == (101, 77, 3)
        half = pixels_in(content, replace(whole, pixels=51 * 39))
        assert half.shape == (51, 39, 3)
        assert abs(half.mean() - pixels.mean()) < 2
        assert pixels_in(content, replace(whole, pixels=51 * 39 - 1)).shape == (26, 20, 3)
        # What was shrunk is shrunk to the same size when that is the limit.
        assert np.array_equal(
            pixels_in(content, replace(whole, pixels=26 * 20)),
            pixels_in(content, replace(whole, pixels=26 * 20 + 1)),
        )

    def test_a_jpeg_of_few_rows_is_shrunk_as_well(self) -> None:
        content = saved(Image.new("RGB", (3000, 3), (90, 120, 150)), "JPEG")
        shrunk = pixels_in(content, PixelLimit(1000, shrinks=True))
        assert shrunk.size < 3000 * 3 * 3

    @pytest.mark.parametrize(
        ("kind", "options", "shrinks"),
        [("JPEG", {}, False), ("JPEG", {"progressive": True}, True), ("PNG", {}, True)],
    )
    def test_other_images_are_not(self, kind: str, options: dict[str, Any], shrinks: bool) -> None:
        content = saved(Image.fromarray(draw(0)), kind, **options)
        with pytest.raises(DataError, match="it is too large"):
            pixels_in(content, PixelLimit(100, shrinks))

    @pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "LA", "CMYK", "1"])
    def test_strips_give_the_pixels_of_the_whole(
        self, mode: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        image = Image.fromarray(draw(0)).convert(mode)
        if mode in ("RGBA", "LA"):
            image.putalpha(Image.fromarray(draw(1, channels=1)).resize(image.size))
        content = saved(image, "TIFF" if mode == "CMYK" else "PNG")
        whole = pixels_in(content)
        monkeypatch.setattr(images, "STRIP_PIXELS", 3 * image.width)
        assert np.array_equal(pixels_in(content), whole)

    def test_a_file_that_no_image_needs_is_not_read(self, tmp_path: Path) -> None:
        with (tmp_path / "sparse.png").open("wb") as file:
            file.truncate(10**10)
        with pytest.raises(DataError, match=r"^it has 10,000\.0 MB; at most 600 MB of such a fil"):
            read_pixels(tmp_path / "sparse.png")


class TestReading:
    def test_a_text_has_one_kind_of_line_ends(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes("ä\r\nb\rc\n".encode())
        assert read_text(tmp_path / "a", 1) == "ä\nb\nc\n"

    def test_the_limit_is_in_millions_of_bytes(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"x" * 1000)
        assert read_file(tmp_path / "a", 0.001) == b"x" * 1000
        with pytest.raises(OSError, match=r"^it has 0\.0 MB; at most 0\.0009 MB of such a file"):
            read_file(tmp_path / "a", 0.0009)

    def test_a_file_that_grows_without_saying_so_is_refused(self) -> None:
        """Files of /proc have no size."""
        with pytest.raises(OSError, match=r"at most 1e-06 MB of such a file are read$"):
            read_file(Path("/proc/self/status"), 1e-6)
