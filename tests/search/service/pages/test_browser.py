"""The main path through the page in a real browser, and long names in it and in a profile."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from archfront.search.profile.make_profile import Title, make_profile
from archfront.search.records.driver_lock import driver_lock
from archfront.search.records.events import EventLog, TrialProposed
from archfront.search.records.paths import StudyPaths
from archfront.search.report.profile_page import Images, render_profile
from archfront.search.service.service_settings import ServiceSettings
from archfront.search.service.study_rows import StudyRows
from archfront.search.service.task_rows import TASKS, TaskRows
from archfront.trainers.data.readers import read_raw
from archfront.trainers.drawing.colors import class_color
from tests.support.browser import WAIT_S, browsed, hasten, log_in, new_database, served
from tests.support.buffering_proxy import proxied
from tests.support.recorded_study import candidate
from tests.support.textured_images import clean_folder
from tests.support.waiting import eventually

# Of the recorded study: 24 trials, of which 16 were trained.
N_TRIALS = 24
# A page without a stream looks again after so many seconds.
OFTEN_S = 2.5
PHONE = {"width": 390, "height": 844}
LONG = "leaf_" * 36
# How far a page is wider than its window.
TOO_WIDE = "document.documentElement.scrollWidth - innerWidth"
# The pixels of a canvas that are drawn at all.
N_DRAWN = """canvas => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data
  .filter((value, i) => i % 4 === 3 && value > 0).length"""
# The sides of the texts in the plot, and of the line of the limit.
TEXTS = """() => {
  const sides = (one) => { const r = one.getBoundingClientRect(); return [r.left, r.right]; };
  const all = (query) => [...document.querySelectorAll(query)].map(sides);
  return [all(".member text, .baseline text, text.below"), all(".limit line"), all(".axes line")];
}"""


@pytest.mark.slow
def test_a_study_is_found_looked_at_and_another_one_is_begun(browser: Any, root: Path) -> None:
    from playwright.sync_api import expect

    with served(root) as (address, token), browsed(browser, reduced_motion="reduce") as page:
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

        # What was rejected is seen in its lane, which lay over it.
        lane = Image.open(io.BytesIO(page.locator(".lanes rect").first.screenshot()))
        middle = lane.height // 2
        seen = lane.convert("RGB").crop((3, middle - 1, lane.width - 3, middle + 1))
        assert len(seen.getcolors()) > 1

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
        whole = page.locator("#chart canvas").evaluate(N_DRAWN)
        page.locator("#study-time").fill("400")
        expect(page.locator(".member")).not_to_have_count(before)
        assert 0 < page.locator("#chart canvas").evaluate(N_DRAWN) < whole
        page.locator("#study-time").fill("0")
        expect(page.locator(".member")).to_have_count(0)
        assert page.locator("#chart canvas").evaluate(N_DRAWN) == 0
        page.locator("#study-time").fill("1000")
        expect(page.locator(".member")).to_have_count(before)
        assert page.locator("#chart canvas").evaluate(N_DRAWN) == whole

        page.set_viewport_size(PHONE)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        page.goto(f"{address}new")
        page.select_option("#dataset", "choice:digits")
        page.fill("#latency", "-3")
        page.wait_for_selector("#latency-problem:not([hidden])")
        assert page.get_attribute("#latency", "aria-invalid") == "true"
        page.fill("#latency", "3")
        page.wait_for_selector("#command-part:not([hidden])")
        assert "hardware.limits.latency_ms=3" in page.locator("#command").inner_text()
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        page.click("#logout")
        page.wait_for_url(f"{address}login")


@pytest.mark.slow
def test_a_study_that_did_not_begin_and_a_narrow_screen(browser: Any, root: Path) -> None:
    from playwright.sync_api import expect

    with new_database(root) as database:
        rows = StudyRows(database)
        rows.add("roses", {})
        row = rows.get("roses")
        assert row is not None
        rows.change(row, state="failed", reason="Two problems:\n" + "- It is wrong.\n" * 20)
    with served(root) as (address, token), browsed(browser, viewport=PHONE) as page:
        refused: list[str] = []
        page.on("response", lambda a: refused.extend([a.url] if a.status >= 400 else []))
        log_in(page, address, token)
        page.goto(address)
        # The whole way through the service is in sight, and a long reason takes two lines at most.
        for link in page.locator("nav a").all():
            box = link.bounding_box()
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= PHONE["width"]
        expect(page.locator("[data-name=roses] .clamp")).to_have_text("Two problems:")
        page.goto(f"{address}studies/roses")
        expect(page.locator("#question")).to_contain_text("failed before it began")
        assert page.locator("#study-problem").inner_text().count("\n") >= 20
        assert page.locator("#begun").is_hidden()
        assert page.locator("#actions button").all_inner_texts() == ["Resume", "Clone", "Delete"]
        assert refused == []
        page.goto(f"{address}studies/tulips")
        expect(page.locator("main")).to_contain_text("There is no study 'tulips'")

        page.goto(f"{address}studies/flowers")
        page.wait_for_selector(".member text")
        texts, limits, lines = page.evaluate(TEXTS)
        left, right = min(one[0] for one in lines), max(one[1] for one in lines)
        assert texts
        for text in texts:
            assert left < text[0] < text[1] < right
            assert all(not text[0] < line[0] < text[1] for line in limits)


@pytest.mark.slow
def test_long_remarks_and_close_baselines_hide_no_number_on_a_phone(
    browser: Any, root: Path
) -> None:
    """A remark pushed the metrics out of sight, and words of baselines lay over each other."""

    def crowded(route: Any) -> None:
        answer = route.fetch()
        content = answer.json()
        for member in content["front"]:
            member["not_better_than"] = "the commonest class of all of them"
        low = min(member["low"] for member in content["front"])
        content["study"]["baselines"] = {f"baseline {i}": low + 0.001 * i for i in range(4)}
        route.fulfill(response=answer, json=content)

    with served(root) as (address, token), browsed(browser, viewport=PHONE) as page:
        log_in(page, address, token)
        page.route("**/columns*", crowded)
        page.goto(f"{address}studies/flowers")
        page.wait_for_selector(".members-table")
        page.wait_for_selector(".baseline text")
        table = page.locator("#detail .scroll")
        assert table.evaluate("one => one.scrollWidth <= one.clientWidth")
        assert table.get_attribute("tabindex") == "0"
        words = [one.bounding_box() for one in page.locator(".baseline text").all()]
        assert len(words) == 4
        for i, one in enumerate(words):
            for other in words[:i]:
                first, second = sorted((one, other), key=lambda box: box["x"])
                is_beside = first["x"] + first["width"] <= second["x"]
                assert is_beside or abs(one["y"] - other["y"]) >= 12

        said = """async (left) => (await import(document.querySelector(
            "link[href$='states.js']").href)).leftText(left)"""
        for left, text in (
            ({"minutes": 90.0, "trials": 3.0}, "1 h 30 min or 3 trainings left"),
            ({"minutes": 12.4, "trials": 0.0}, "finishing what runs"),
            ({"minutes": 0.2}, "under a minute left"),
            ({"trials": 1.0}, "1 training left"),
            ({}, ""),
        ):
            assert page.evaluate(said, left) == text


@pytest.mark.slow
def test_a_plan_and_a_search_that_say_nothing_of_the_form_are_told(
    browser: Any, tmp_path: Path
) -> None:
    """The plan of options that had been changed since stood beside the button that starts."""
    from playwright.sync_api import expect

    with served(tmp_path) as (address, token), browsed(browser) as page:
        log_in(page, address, token)
        page.route("**/plan", lambda route: route.fulfill(json={"space": {"candidates": 7}}))
        page.goto(f"{address}new")
        page.select_option("#dataset", "choice:digits")
        page.click("#plan-part > summary")
        page.click("#plan")
        expect(page.locator("#planned")).to_contain_text("7 candidates")
        page.fill("#name", "another")
        assert page.locator("#plan-old").is_hidden()
        page.fill("#minutes", "7")
        expect(page.locator("#plan-old")).to_be_visible()
        page.click("#plan")
        expect(page.locator("#plan-old")).to_be_hidden()
        page.select_option("#dataset", "choice:shapes")
        expect(page.locator("#plan-old")).to_be_visible()

        page.click("#every > summary")
        page.fill("#find-option", "nothing of this name")
        expect(page.locator("#no-option")).to_be_visible()
        page.fill("#find-option", "backbones")
        expect(page.locator("#no-option")).to_be_hidden()


@pytest.mark.slow
def test_a_task_says_how_far_it_is_and_no_longer_that_one_before_it_failed(
    browser: Any, root: Path
) -> None:
    from playwright.sync_api import expect

    with new_database(root) as database:
        rows = TaskRows(database)
        # The latest one first; no server of this machine runs the first.
        others = {"owner": "elsewhere/1/1/x", "lease_until": database.now() + 10**6}
        states = (
            ("refit", {"state": "running", "started": database.now(), **others}),
            ("export", {"state": "failed", "message": "It failed just now."}),
            ("variants", {"state": "finished"}),
            ("variants", {"state": "failed", "message": "It failed before."}),
        )
        for age, (kind, values) in enumerate(states):
            row = rows.add(kind, "flowers", [kind])  # type: ignore[arg-type]
            values |= {"created": database.now() - age}
            with database.begin() as connection:
                connection.execute(TASKS.update().where(TASKS.c.id == row.id).values(values))
            if kind == "refit":
                said = ServiceSettings(root=root).folder / "tasks" / row.id / "said"
                said.parent.mkdir(parents=True)
                said.write_text("warning: a first line\ntrial 3 seed 0: 12 of 100 epochs\n")
    with served(root) as (address, token), browsed(browser) as page:
        log_in(page, address, token)
        page.goto(f"{address}studies/flowers")
        tasks = page.locator("#tasks li")
        expect(tasks).to_have_count(2)
        expect(tasks.nth(0)).to_contain_text("trial 3 seed 0: 12 of 100 epochs")
        expect(tasks.nth(1)).to_contain_text("It failed just now.")


@pytest.mark.slow
def test_a_page_shows_what_happens_where_a_proxy_holds_the_stream_back(
    browser: Any, root: Path
) -> None:
    from playwright.sync_api import expect

    below = "/team/archfront"
    paths = StudyPaths(root, "flowers")
    write = EventLog(paths.events)
    with (
        driver_lock(paths),
        served(root, root_path=below) as (address, token),
        proxied(address, path=below) as proxy,
        browsed(browser) as page,
    ):
        page.clock.install()
        page.goto(f"{proxy.url}/login#{token}")
        page.wait_for_url(f"{proxy.url}/")
        page.click("#studies a:text('flowers')")
        page.wait_for_selector(".member")
        assert page.url == f"{proxy.url}/studies/flowers"
        eventually(lambda: any(path.endswith("/events") for path in proxy.held))
        for trial in (30, 31):
            write(TrialProposed(trial, candidate()))
            hasten(page, OFTEN_S)
            shown = f"trial {trial}: {candidate().label}"
            expect(page.locator("#running")).to_contain_text(shown, timeout=1000 * WAIT_S)
        assert any(path.endswith("/events") for path in proxy.held)


@pytest.mark.slow
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


@pytest.mark.slow
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
