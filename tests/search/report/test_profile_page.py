"""The page of a profile: everything in one file, whatever the data is called."""

from __future__ import annotations

import re
from base64 import b64decode
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from archfront.search.profile.dataset_profile import DatasetProfile
from archfront.search.profile.make_profile import Title, make_profile
from archfront.search.report.profile_figure import profile_figures
from archfront.search.report.profile_page import Images, render_profile
from archfront.trainers.data import DataRef
from archfront.trainers.data.readers import read_raw
from archfront.trainers.data.ref import Shapes
from archfront.trainers.data.targets import TargetKind
from archfront.trainers.drawing.colors import class_color
from tests.support.drawn_images import REF
from tests.support.small_profile import small_profile
from tests.support.textured_images import clean_folder, save, textured


def page_of(ref: DataRef, task: str = "classification") -> tuple[DatasetProfile, str]:
    raw = read_raw(ref)
    profile = make_profile(ref, raw, Title(task, "some <data>", "0"))
    return profile, render_profile(profile, Images(raw, ref.pixel_limit, class_color))


def pictures(page: str) -> list[Image.Image]:
    found = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)
    return [Image.open(BytesIO(b64decode(content))) for content in found]


@pytest.mark.parametrize("target", ["labels", "mask", "boxes"])
def test_every_section_of_a_task_is_drawn(target: TargetKind) -> None:
    ref = replace(REF, reader="shapes", target=target, shapes=Shapes(images=24))
    profile, page = page_of(ref)
    assert "No fault was found" in page
    assert "some &lt;data&gt;" in page
    n_figures = sum(map(len, profile_figures(profile).values()))
    assert page.count("data-figure=") == n_figures
    assert ("The smallest objects" in page) is (target == "boxes")
    assert ("Pixels beside another class" in page) is (target == "mask")
    shown = pictures(page)
    assert len(shown) >= 12 + 3 * 6
    assert {image.size for image in shown} <= {(64, 64), (112, 112)}


def test_images_of_a_fault_stand_side_by_side(tmp_path: Path) -> None:
    ref = clean_folder(tmp_path, n=6)
    save(tmp_path / "a/900.png", textured(1003))  # b/003.png
    _, page = page_of(ref)
    fault = page[page.index("Contradicting labels") :]
    group = fault[fault.index('<div class="group') : fault.index("</div>", fault.index("group"))]
    assert re.findall(r"figcaption>([^<(]+) ", group) == ["a/900.png", "b/003.png"]


def test_names_of_somebody_else_are_no_code(tmp_path: Path) -> None:
    ref = clean_folder(tmp_path, classes=("<script>alert(1)<", "b"), n=4)
    _, page = page_of(ref)
    assert "alert(1)" in page
    assert "<script>alert" not in page


def test_nothing_is_loaded_from_anywhere(tmp_path: Path) -> None:
    _, page = page_of(clean_folder(tmp_path, n=4))
    assert re.findall(r'(?:src|href)="(?!data:|#)', page) == []


def test_an_image_that_is_gone_is_left_out(tmp_path: Path) -> None:
    ref = clean_folder(tmp_path, n=4)
    raw = read_raw(ref)
    profile = make_profile(ref, raw, Title("classification", "data", "0"))
    (tmp_path / "a/000.png").unlink()
    page = render_profile(profile, Images(raw, ref.pixel_limit, class_color))
    assert "a/000.png" not in page
    assert "a/001.png" in page


def test_a_number_that_all_images_share_has_no_figure() -> None:
    drawn = profile_figures(small_profile())
    assert [title for title, _ in drawn["classes"]] == ["Images of each class"]
    assert drawn["images"] == []
