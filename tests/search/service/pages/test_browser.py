"""The main path through the page in a real browser."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.browser import browsed, chromium, served

# Of the recorded study: 24 trials, of which 16 were trained.
N_TRIALS = 24


@pytest.mark.slow
def test_a_study_is_found_looked_at_and_another_one_is_begun(
    recorded_root: Path, tmp_path: Path
) -> None:
    chromium()
    from playwright.sync_api import expect

    root = tmp_path / "root"
    shutil.copytree(recorded_root / "studies", root / "studies")
    phone = {"width": 390, "height": 844}
    with served(root) as (address, token), browsed(reduced_motion="reduce") as page:
        page.goto(address)
        assert page.url == f"{address}login"  # nobody is let in without a token
        page.fill("#token", "wrong")
        page.click("button[type=submit]")
        page.wait_for_selector("#login-problem:not([hidden])")
        page.goto(f"{address}login#{token}")
        page.wait_for_url(address)
        assert token not in page.url

        page.click("#studies a:text('flowers')")
        page.wait_for_selector(".member")
        assert page.locator("#state").inner_text().endswith("finished")
        members = page.locator(".members-table tbody tr").count()
        assert members == page.locator(".member").count() > 2
        assert page.locator("#trial-table tbody tr").count() == N_TRIALS

        page.click("button.card.best")
        page.wait_for_selector("#detail dl.values")
        chosen = page.locator("#detail h2").inner_text()
        assert page.locator("tr[aria-current=true] .link").inner_text() in chosen
        page.locator(".member").first.focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        expect(page.locator("#detail h2")).not_to_have_text(chosen)
        page.select_option("#trial-kind", "rejected")
        rows = page.locator("#trial-table tbody tr")
        assert 0 < rows.count() < N_TRIALS
        assert {row.split("\t")[2] for row in rows.all_inner_texts()} == {"rejected"}

        before = page.locator(".member").count()
        page.locator("#study-time").fill("0")
        expect(page.locator(".member")).not_to_have_count(before)

        page.set_viewport_size(phone)
        assert page.evaluate("document.documentElement.scrollWidth") <= phone["width"]
        page.goto(f"{address}new")
        page.select_option("#dataset", "choice:digits")
        page.fill("#latency", "-3")
        page.wait_for_selector("#latency-problem:not([hidden])")
        assert page.get_attribute("#latency", "aria-invalid") == "true"
        page.fill("#latency", "3")
        page.wait_for_selector("#command-part:not([hidden])")
        assert "hardware.limits.latency_ms=3" in page.locator("#command").inner_text()
        assert page.evaluate("document.documentElement.scrollWidth") <= phone["width"]
        page.click("#logout")
        page.wait_for_url(f"{address}login")
