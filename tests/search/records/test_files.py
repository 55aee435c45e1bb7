"""Files that are written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from archfront.trainers.files import replacing, write_whole


def test_a_file_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    file = tmp_path / "front.json"
    for text in ("1", "2"):
        write_whole(file, text)
        assert file.read_text() == text
    assert list(tmp_path.iterdir()) == [file]


def test_what_fails_half_way_leaves_the_one_before(tmp_path: Path) -> None:
    file = tmp_path / "front.json"
    write_whole(file, "1")

    def write_half() -> None:
        with replacing(file) as written:
            written.write_text("2")
            raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        write_half()
    assert file.read_text() == "1"
    assert list(tmp_path.iterdir()) == [file]
