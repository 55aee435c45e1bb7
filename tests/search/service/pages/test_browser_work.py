"""Work on the page in a real browser: uploads, exports and their answers, a killed server."""

from __future__ import annotations

import io
import json
import math
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from faster_coco_eval.core import mask as coco_masks
from numpy.typing import NDArray
from PIL import Image

from archfront.search.front.members import build_front
from archfront.search.predict.manifest import read_manifest
from archfront.search.records import export_records
from archfront.search.records.driver_lock import driver_lock
from archfront.search.records.events import EventLog, TrialProposed
from archfront.search.records.paths import StudyPaths
from archfront.search.results.export_results import exports_of
from archfront.search.service.export_files import export_folder
from archfront.search.service.service_database import ServiceDatabase
from archfront.search.service.service_settings import ServiceSettings
from archfront.search.service.study_rows import StudyRows
from archfront.search.service.tokens import Tokens
from tests.support import recorded_store, recorded_study
from tests.support.browser import ServerToKill, browsed, hasten, log_in, new_database, served
from tests.support.shared_exports import SharedExports

pytestmark = pytest.mark.slow
# Hides a page, as another tab before it does, or shows it again.
HIDDEN = """(is_hidden) => {
  Object.defineProperty(document, "hidden", { value: is_hidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""
# A picture of this side is drawn pixel by pixel.
SIDE, GREY = 320, 128
# A page that hears of nothing looks again after at most so many seconds.
RARELY_S = 20
IDS = {"instance": "0123456789abcdef", "semantic": "fedcba9876543210"}
# The pixels of a canvas as one text, and the colors of labels in the legend. Playwright takes
# seconds for a list of as many numbers.
PIXELS = """canvas =>
  canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.join(" ")"""
LEGEND = """list => [...list.children].map(one =>
  [one.childNodes[1].textContent, getComputedStyle(one.querySelector('i')).backgroundColor])"""


def png(content: NDArray[np.uint8] | None = None) -> bytes:
    file = io.BytesIO()
    grey = np.full((SIDE, SIDE, 3), GREY, np.uint8)
    Image.fromarray(grey if content is None else content).save(file, "PNG")
    return file.getvalue()


def archive(n_images: int = 4) -> bytes:
    """Return a zip archive of images of two classes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        for label in ("cats", "dogs"):
            for i in range(n_images):
                made.writestr(f"pets/{label}/{i}.png", png(np.full((8, 8, 3), 9 * i, np.uint8)))
    return file.getvalue()


def look_again(page: Any) -> None:
    """Let a page ask at once, as one that is seen again does."""
    for is_hidden in (True, False):
        page.evaluate(HIDDEN, is_hidden)


def exported(root: Path, exports: SharedExports, task: str, trial: int, name: str) -> Path:
    """Put the export of a task into a study, as a task of the service leaves one."""
    folder = export_folder(ServiceSettings(root=root), name, IDS[task])
    folder.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(exports.served(task), folder)
    candidate = next(e.candidate.id for e in recorded_study.study() if e.trial == trial)
    made = exports_of(read_manifest(folder), folder)
    own = [replace(one, trial=trial, candidate_id=candidate) for one in made]
    export_records.add(StudyPaths(root, name), own)
    return folder


def test_a_form_a_study_and_a_download(
    browser: Any, tmp_path: Path, exports: SharedExports
) -> None:
    """The driver of the study is the test, which writes what a driver does."""
    from playwright.sync_api import expect

    root = tmp_path / "root"
    (root / "data").mkdir(parents=True)
    member = build_front(recorded_study.study(), recorded_study.OBJECTIVES)[-1]
    with served(root, max_studies=0) as (address, token), browsed(browser) as page:
        log_in(page, address, token)
        page.goto(address)
        page.click("nav a:text('New study')")
        page.select_option("#dataset", "choice:digits")
        page.fill("#latency", "4")
        page.fill("#minutes", "-1")
        page.fill("#name", "flowers")
        page.click("#start")
        page.wait_for_selector("#minutes-problem:not([hidden])")
        page.wait_for_function("document.activeElement.id === 'minutes'")
        page.fill("#minutes", "60")
        page.wait_for_selector("#command-part:not([hidden])")
        page.click("#start")
        page.wait_for_url("**/studies/flowers")
        expect(page.locator("#question")).to_contain_text("waiting for its turn")

        recorded_store.write(root)
        page.wait_for_selector(".member")
        page.fill("#point-name", "our model")
        page.fill("#point-metric", str(member.metric - 0.01))
        page.fill("#point-cost", str(member.latency_ms + 0.1))
        page.click("#point-go")
        expect(page.locator("#points-table tbody tr")).to_contain_text([member.candidate.label])
        expect(page.locator("#chart .own rect")).to_have_count(1)
        page.fill("#why-not", "resnet18")
        page.press("#why-not", "Enter")
        expect(page.locator("#why-answer")).to_contain_text("resnet18")

        exported(root, exports, "instance", member.trial, "flowers")
        page.reload()
        with page.expect_download() as download:
            page.locator("#export-list tr", has_text="onnx").locator("a.button").first.click()
        with zipfile.ZipFile(download.value.path()) as got:
            names = [Path(name).relative_to(Path(name).parts[0]) for name in got.namelist()]
        assert {Path("manifest.json"), Path("onnx/model.onnx")} <= set(names)


@pytest.fixture(scope="module")
def exporting(
    browser: Any,
    recorded_root: Path,
    tmp_path_factory: pytest.TempPathFactory,
    exports: SharedExports,
) -> Iterator[Any]:
    """Give the page of a study of which two members are exported, as boxes and as classes."""
    root = tmp_path_factory.mktemp("exporting")
    shutil.copytree(recorded_root / "studies", root / "studies")
    trial = build_front(recorded_study.study(), recorded_study.OBJECTIVES)[0].trial
    for task in IDS:
        exported(root, exports, task, trial, "flowers")
        trial = build_front(recorded_study.study(), recorded_study.OBJECTIVES)[-1].trial
    with served(root) as (address, token), browsed(browser) as page:
        log_in(page, address, token)
        page.goto(f"{address}studies/flowers")
        yield page


@pytest.fixture
def trying(exporting: Any) -> Any:
    """Return the page, on which nothing was tried yet."""
    exporting.reload()
    exporting.wait_for_selector("#try:not([hidden])")
    return exporting


def asked(page: Any, task: str) -> tuple[dict[str, Any], NDArray[np.int_], dict[str, str]]:
    """Return what the server says of a picture, what is drawn, and the colors of labels."""
    page.select_option("#try-with", f"{IDS[task]}/onnx")
    picture = {"name": "grey.png", "mimeType": "image/png", "buffer": png()}
    with page.expect_response("**/predictions?*") as answer:
        page.set_input_files("#try-image", picture)
    content = answer.value.json()
    page.wait_for_selector(".answer canvas")
    text = page.locator(".answer canvas").evaluate(PIXELS)
    pixels = np.array(text.split(), int).reshape(SIDE, SIDE, 4)
    legend = dict(page.locator(".answer .found").evaluate(LEGEND))
    return content, pixels[..., :3], legend


def rgb(text: str) -> list[int]:
    return [int(part) for part in text.removeprefix("rgb(").removesuffix(")").split(",")]


def test_boxes_and_masks_are_drawn_over_a_picture(trying: Any) -> None:
    page = trying
    page.fill("#try-score", "0")
    content, pixels, legend = asked(page, "instance")
    assert content["objects"]
    assert set(legend) == {one["label"] for one in content["objects"]}
    # The box of the last object lies above all others: of its lower edge 2 px have its color.
    *_, last = content["objects"]
    left, _, right, bottom = last["box"]
    row = min(SIDE - 1, max(0, math.ceil(bottom - 1)))
    assert np.abs(pixels[row, int((left + right) / 2)] - rgb(legend[last["label"]])).max() <= 2
    # Where there is a mask, nothing of the grey picture is as it was.
    for one in content["objects"]:
        inside = coco_masks.decode(one["mask"]).astype(bool)
        assert not (pixels[inside] == GREY).all(axis=1).any()


def test_classes_of_pixels_have_their_colors_in_the_legend(trying: Any) -> None:
    content, pixels, legend = asked(trying, "semantic")
    expected = np.full((SIDE, SIDE, 3), float(GREY))
    seen = np.zeros((SIDE, SIDE), int)
    for one in content["classes"]:
        inside = coco_masks.decode(one["mask"]).astype(bool)
        seen += inside
        expected[inside] = 0.55 * GREY + 0.45 * np.array(rgb(legend[one["label"]]))
    assert (seen == 1).all()
    assert np.abs(pixels - expected).max() <= 2
    shares = trying.locator(".answer .found li").all_inner_texts()
    assert len(shares) == len(content["classes"])


def test_an_archive_is_sent_checked_and_looked_at(browser: Any, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    with served(tmp_path) as (address, token), browsed(browser) as page:
        log_in(page, address, token)
        page.goto(f"{address}datasets")
        given = {"mimeType": "application/zip", "buffer": archive()}
        page.set_input_files("#send-file", {"name": "My pets.zip", **given})
        assert page.input_value("#send-name") == "My-pets"
        with page.expect_request(
            lambda one: one.method == "POST" and one.url.endswith("/profile")
        ) as looked:
            page.click("#send-go")
        assert json.loads(looked.value.post_data)["choices"] == {"data": "auto"}
        expect(page.locator("#send-state")).to_contain_text("8 files")
        expect(page.locator("[data-name=My-pets] .profile")).to_contain_text("Looking at every")
        page.set_input_files("#send-file", {"name": "My pets.zip", **given})
        page.click("#send-go")
        expect(page.locator("#send-problem")).to_contain_text("already")
        hostile = {"name": "none.zip", "mimeType": "application/zip", "buffer": b"PK no archive"}
        page.fill("#send-name", "none")
        page.set_input_files("#send-file", hostile)
        page.click("#send-go")
        expect(page.locator("#send-problem")).to_contain_text("archive")
        expect(page.locator("#datasets li")).to_have_count(1)
        # A form that asks for no name finds one that is free.
        page.goto(f"{address}new")
        page.select_option("#dataset", "upload:")
        page.set_input_files("#upload", {"name": "My pets.zip", **given})
        expect(page.locator("#upload-state")).to_contain_text("as My-pets-2")
        expect(page.locator("#dataset")).to_have_value("set:My-pets-2")


def test_a_link_leads_where_it_says_after_the_login(browser: Any, root: Path) -> None:
    """The part behind the number sign was taken for a token, and all led to the list."""
    from playwright.sync_api import expect

    with served(root) as (address, token), browsed(browser) as page:
        page.goto(f"{address}studies/flowers#trial-3")
        page.wait_for_url("**/login?to=studies%2Fflowers#trial-3")
        page.wait_for_function("document.activeElement.id === 'token'")
        assert page.locator("#login-problem").is_hidden()
        page.fill("#token", token)
        page.press("#token", "Enter")
        page.wait_for_url(f"{address}studies/flowers#trial-3")
        expect(page.locator("#detail h2")).to_contain_text("Trial 3")
        # None but pages of this service; what is no address is the list.
        for to in ("//elsewhere/x", "https://elsewhere/x", "javascript:alert(1)", "../../x"):
            page.goto(f"{address}login?to={quote(to, safe='')}")
            page.fill("#token", token)
            page.press("#token", "Enter")
            page.wait_for_url(lambda url: url in (address, f"{address}x"))


def test_a_study_is_extended_and_deleted_elsewhere_meanwhile(browser: Any, root: Path) -> None:
    """Its page offered the budget of before, and a deleted one stayed as it had been."""
    from playwright.sync_api import expect

    name = "my-roses.2_x"
    with served(root, max_studies=0) as (address, token), browsed(browser) as page:
        database = ServiceDatabase(ServiceSettings(root=root).database)
        rows = StudyRows(database)
        rows.add(name, {}, wanted="pause")
        log_in(page, address, token)
        api, headers = f"{address}api/v1/studies", {"Authorization": f"Bearer {token}"}
        page.goto(f"{address}studies/flowers")
        expect(page.locator("#actions")).to_contain_text("Extend")
        for trials in (40, 50):
            answer = page.request.post(
                f"{api}/flowers/extend", headers=headers, data={"trials": trials}
            )
            assert answer.ok, answer.text()
            look_again(page)
            expect(page.locator("#actions")).to_have_attribute(
                "data-shown", f"waiting true {trials}"
            )
            page.click("#actions button:text('Extend')")
            assert page.input_value("#ask-trials") == str(trials)
            page.keyboard.press("Escape")

        page.goto(f"{address}studies/{name}")
        page.click("#actions button:text('Delete')")
        page.fill("#ask-name", name.replace("-", "_"))  # a dot stands for itself, too
        page.click("dialog button.danger")
        assert page.locator("dialog[open]").is_visible()
        assert page.evaluate("document.querySelector('#ask-name').validity.patternMismatch")
        page.keyboard.press("Escape")
        assert page.request.delete(f"{api}/{name}", headers=headers).status == 204
        look_again(page)
        expect(page.locator("#state")).to_contain_text("deleted")
        expect(page.locator("#actions button")).to_have_count(0)
        assert page.locator("#study-problem").is_hidden()
        database.close()


def test_lists_say_what_is_and_since_when_nobody_answers(browser: Any, root: Path) -> None:
    from playwright.sync_api import expect

    with served(root, max_studies=0) as (address, token), browsed(browser) as page:
        database = ServiceDatabase(ServiceSettings(root=root).database)
        StudyRows(database).add("flowers", {})
        database.close()
        page.clock.install()
        log_in(page, address, token)
        page.goto(address)
        problem = page.locator("#studies-problem")
        expect(page.locator("[data-name=flowers] .state")).to_contain_text("waiting")
        page.route("**/overview", lambda route: route.abort())
        hasten(page, RARELY_S)
        expect(problem).to_contain_text("The server does not answer. Is it running? This is how")
        expect(page.locator("[data-name=flowers]")).to_be_visible()
        page.unroute("**/overview")
        hasten(page, RARELY_S)
        expect(problem).to_be_hidden()
        # A study that waits once more was shown by the end of its last run.
        page.goto(f"{address}compare")
        expect(page.locator("#answers .state")).to_contain_text("waiting")


def is_stream(request: Any) -> bool:
    return str(request.url).endswith("/events")


def test_a_page_goes_on_when_its_server_was_killed(browser: Any, root: Path) -> None:
    from playwright.sync_api import expect

    with new_database(root) as database:
        StudyRows(database).add("roses", {}, wanted="pause")
        token = Tokens(database).first(anew=True)
    paths = StudyPaths(root, "flowers")
    candidate = recorded_study.study()[0].candidate
    tell = EventLog(paths.events)
    with driver_lock(paths), ServerToKill(root) as server, browsed(browser) as page:
        page.clock.install()
        log_in(page, server.address, token)
        page.goto(f"{server.address}studies/flowers")
        expect(page.locator("#state")).to_contain_text("running")
        # What nobody sees keeps none of the browser's few connections.
        with page.expect_event("requestfailed", is_stream):
            page.evaluate(HIDDEN, True)
        with page.expect_request(is_stream):
            page.evaluate(HIDDEN, False)
        tell(TrialProposed(98, candidate))
        expect(page.locator("#running")).to_contain_text("trial 98")
        server.kill()
        hasten(page, RARELY_S)
        expect(page.locator("#study-problem")).to_contain_text("does not answer")
        tell(TrialProposed(99, candidate))
        server.start()
        expect(page.locator("#running")).to_contain_text("trial 99")
        expect(page.locator("#study-problem")).to_be_hidden()
        assert page.url.endswith("/studies/flowers")  # nobody had to log in again
