"""Long names of classes in a real browser: in the page of a profile and in the service's pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from archfront.search.profile.make_profile import Title, make_profile
from archfront.search.report.profile_page import Images, render_profile
from archfront.trainers.data.readers import read_raw
from archfront.trainers.drawing.colors import class_color
from tests.support.browser import browsed, log_in, served
from tests.support.textured_images import clean_folder

pytestmark = pytest.mark.slow
PHONE = {"width": 390, "height": 844}
LONG = "leaf_" * 36
# How far a page is wider than its window.
TOO_WIDE = "document.documentElement.scrollWidth - innerWidth"


def test_a_profile_is_as_wide_as_its_window_and_has_every_picture(
    browser: Any, tmp_path: Path
) -> None:
    """Headings ran out of the page, and pictures far down were not there yet in a printed one."""
    ref = clean_folder(tmp_path / "data", classes=(LONG, "b"), n=8)
    raw = read_raw(ref)
    profile = make_profile(ref, raw, Title("classification", "leaves", "0"))
    file = tmp_path / "profile.html"
    file.write_text(render_profile(profile, Images(raw, ref.pixel_limit, class_color)))
    with browsed(browser, viewport=PHONE) as page:
        page.goto(file.as_uri())
        page.wait_for_function("document.querySelectorAll('.main-svg').length > 0")
        assert page.evaluate(TOO_WIDE) <= 0
        loaded = "[...document.images].map(image => image.complete && image.naturalWidth > 0)"
        assert page.evaluate(loaded) == [True] * (2 * 6 + 12)


def test_a_long_name_wraps_in_the_pages_of_a_service(browser: Any, tmp_path: Path) -> None:
    found = {
        "task": "classification",
        "splits": {"train": {"images": 8}},
        "balance": {"most": LONG, "least": "b", "imbalance": 3.0},
        "faults": [{"kind": "empty classes", "text": f"No image is of {LONG}.", "remedy": ""}],
    }
    (tmp_path / "data").mkdir()
    with (
        served(tmp_path) as (address, token),
        browsed(browser, viewport=PHONE) as page,
    ):
        log_in(page, address, token)
        page.route("**/datasets/leaves/profile", lambda route: route.fulfill(json=found))
        page.goto(f"{address}datasets")
        page.fill("#add-name", "leaves")
        page.fill("#add-root", str(tmp_path / "data"))
        page.click("#add-go")
        page.wait_for_selector(".profile .faults")
        assert page.evaluate(TOO_WIDE) <= 0
