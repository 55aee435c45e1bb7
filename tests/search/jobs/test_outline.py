from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from archfront.search.jobs.outline import outline
from archfront.trainers.errors import DataError
from tests.support.drawn_images import draw_folder


def test_a_copy_has_the_same_outline_until_an_image_differs(tmp_path: Path) -> None:
    ref = draw_folder(tmp_path / "data", {"cat": 3, "dog": 2})
    copy = replace(ref, root=str(shutil.copytree(tmp_path / "data", tmp_path / "copy")))
    first = outline(ref)
    assert first.startswith("5 images (")
    assert outline(copy) == first
    (tmp_path / "copy" / "cat" / "0.png").rename(tmp_path / "copy" / "dog" / "9.png")
    assert outline(copy) != first
    assert outline(copy).startswith("5 images (")


def test_the_names_in_a_table_count_and_its_images_may_not_lie_outside(tmp_path: Path) -> None:
    ref = draw_folder(tmp_path / "data", {"images": 4})
    table = tmp_path / "data" / "labels.csv"
    rows = [f"images/{n}.png,{'ab'[n % 2]}" for n in range(4)]
    table.write_text("\n".join(["path,label", *rows]))
    ref = replace(ref, reader="csv", outside_root="allow")
    first = outline(ref)
    outside = shutil.copy(tmp_path / "data" / "images" / "0.png", tmp_path / "other.png")
    table.write_text("\n".join(["path,label", f"{outside},a", *rows[1:]]))
    with pytest.raises(DataError, match=rf"1 image lies outside of data.root .*: {outside}\."):
        outline(ref)
    table.write_text("\n".join(["path,label", *rows[:3], "images/3.png,a"]))
    assert outline(ref) != first
