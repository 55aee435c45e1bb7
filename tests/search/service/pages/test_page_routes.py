"""The pages in process: their addresses, their policy, their names and what names cannot do."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from archfront.search.errors import ConfigError
from archfront.search.service.pages.page_files import FOLDER, page_files, version
from archfront.search.service.pages.page_routes import PLAIN
from archfront.search.service.service_settings import ServiceSettings
from tests.support.services import client_of

HOSTILE = 'a"><script>alert(1)</script>'
MISSING = ["/nope", "/studies/nope", "/a/b/c", "/studies/a%2Fb"]
ADDRESSES = [*PLAIN, "/studies/flowers", *MISSING]
ADDRESS_ATTRIBUTES = {"href", "src", "action", "formaction"}


class Page(HTMLParser):
    """What a page holds."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def values(self, *names: str) -> list[str]:
        return [v for _, found in self.elements for n, v in found.items() if n in names and v]

    def of(self, *tags: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag in tags]


@pytest.fixture(params=ADDRESSES)
def page(request: pytest.FixtureRequest, service_client: TestClient) -> Page:
    answer = service_client.get(request.param, headers={"Accept": "text/html"})
    assert answer.status_code == (404 if request.param in MISSING else 200)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    return Page(answer.text)


class TestEveryPage:
    def test_has_relative_addresses_of_this_service_only(self, page: Page) -> None:
        found = page.values(*ADDRESS_ATTRIBUTES)
        assert len(found) > 5
        assert [a for a in found if re.match(r"/|[a-z]+:", a)] == []

    def test_has_nothing_inline(self, page: Page) -> None:
        assert page.of("style") == []
        assert all(script.get("src") for script in page.of("script"))
        names = {name for _, attributes in page.elements for name in attributes}
        assert [name for name in names if name == "style" or name.startswith("on")] == []

    def test_names_each_thing_once(self, page: Page) -> None:
        repeated = [name for name, n in Counter(page.values("id")).items() if n > 1]
        assert repeated == []

    def test_labels_every_input(self, page: Page) -> None:
        labels = {label.get("for") for label in page.of("label")}
        for field in page.of("input", "select", "textarea"):
            assert field.get("id") in labels or field.get("type") == "hidden", field
        referred = page.values("aria-labelledby", "aria-describedby", "for")
        named = {name for names in referred for name in names.split()}
        assert named <= set(page.values("id"))

    def test_can_be_read_by_everybody(self, page: Page) -> None:
        assert page.of("html")[0]["lang"] == "en"
        assert len(page.of("main")) == len(page.of("h1")) == 1
        assert all("alt" in image for image in page.of("img"))
        assert page.of("a")[0]["href"] == "#main"


def test_a_hostile_name_of_a_study_is_text(service_client: TestClient) -> None:
    for name, shown in ((HOSTILE.replace("/", "%2F"), HOSTILE), (HOSTILE.replace("/", "|"),) * 2):
        answer = service_client.get(f"/studies/{name}", headers={"Accept": "text/html"})
        assert answer.status_code == 404
        page = Page(answer.text)
        assert all(script.get("src") for script in page.of("script"))
        assert [word for word in page.words if shown in word]


def test_an_address_that_there_is_not_leads_home(service_client: TestClient) -> None:
    for path, up in zip(MISSING, ("./", "../", "../../", "../"), strict=True):
        page = Page(service_client.get(path, headers={"Accept": "text/html"}).text)
        assert {a["href"] for a in page.of("a") if a.get("class") == "brand"} == {up}, path
    for path in (*MISSING, "/api/v1/nope"):
        error = service_client.get(path).json()["error"]
        assert error["code"] in ("not_found", "no_such_study")
    answer = service_client.get("/api/v1/nope", headers={"Accept": "text/html"})
    assert answer.json()["error"]["code"] == "not_found"


class TestFiles:
    def test_every_file_that_a_page_or_a_module_loads_is_there(
        self, service_client: TestClient
    ) -> None:
        for address in ADDRESSES:
            page = Page(service_client.get(address, headers={"Accept": "text/html"}).text)
            for value in page.values("href", "src"):
                if "static/" in value:
                    path = "/static/" + value.split("static/")[1]
                    answer = service_client.get(path, headers={"Authorization": ""})
                    assert answer.status_code == 200, path
                    assert "immutable" in answer.headers["cache-control"]
        for name, file in page_files().items():
            imported = re.findall(rb'from "\./([^"]+)"', file.content)
            assert {other.decode() for other in imported} <= set(page_files()), name

    def test_the_list_names_the_modules_of_the_page_that_is_opened_next(
        self, service_client: TestClient
    ) -> None:
        page = Page(service_client.get("/", headers={"Accept": "text/html"}).text)
        links = [link for link in page.of("link") if link.get("rel") == "prefetch"]
        named = [link["href"].rpartition("/")[2] for link in links]
        assert {"study_page.js", "front_chart.js"} <= set(named)
        own = [link["href"].rpartition("/")[2] for link in page.of("link") if link not in links]
        assert set(named).isdisjoint({*own, "studies_page.js"})

    def test_a_page_names_the_modules_that_its_own_one_needs(
        self, service_client: TestClient
    ) -> None:
        page = Page(service_client.get("/studies/flowers", headers={"Accept": "text/html"}).text)
        named = {value.rpartition("/")[2] for value in page.values("href", "src")}
        assert {"study_page.js", "scales.js", "marks.js"} <= named
        for name in [name for name in named if name.endswith(".js")]:
            imported = re.findall(r'from "\./([^"]+)"', page_files()[name].content.decode())
            assert set(imported) <= named, name

    def test_another_version_is_not_kept_and_another_name_is_told(
        self, service_client: TestClient
    ) -> None:
        assert service_client.get("/static/0/base.css").headers["cache-control"] == "no-cache"
        for name in ("nothing.js", "..%2Fpage_routes.py", "page_routes.py"):
            assert service_client.get(f"/static/{version()}/{name}").status_code == 404

    def test_no_file_names_another_host(self) -> None:
        namespaces = {"http://www.w3.org/2000/svg"}
        for path in FOLDER.iterdir():
            found = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+[\w./]*", path.read_text("utf-8")))
            assert found <= namespaces, path.name
            assert len(path.read_text("utf-8").splitlines()) <= 350


def test_pages_stand_below_any_path(tmp_path: Path) -> None:
    with client_of(tmp_path, root_path="/some/where") as client:
        for path in ("/some/where/", "/some/where/new", "/new"):
            assert client.get(path).status_code == 200, path
        html = {"Accept": "text/html"}
        for path in ("/some/where/studies/x", "/studies/x"):
            page = Page(client.get(path, headers=html).text)
            assert [a["href"] for a in page.of("a") if a.get("class") == "brand"] == ["../"]
        to_login = client.get(
            "/some/where/", headers={"Authorization": "", "Accept": "text/html"},
            follow_redirects=False,
        )  # fmt: skip
        assert to_login.headers["location"] == "/some/where/login"


def test_a_token_that_reads_gets_no_button_that_changes(service_client: TestClient) -> None:
    service = service_client.app.state.service  # type: ignore[attr-defined]
    secret = service.tokens.create("eyes", "read")
    reads = Page(service_client.get("/", headers={"Authorization": f"Bearer {secret}"}).text)
    assert reads.of("html")[0]["data-scope"] == "read"
    assert [a for a in reads.values("href") if a.endswith("new")] == []
    accept = {"Authorization": f"Bearer {secret}", "Accept": "text/html"}
    for form in ("new", "tokens"):  # by a link that somebody sent
        page = service_client.get(f"/{form}", headers=accept)
        assert (page.status_code, "may only read" in page.text) == (403, True)
        assert service_client.get(f"/{form}").status_code == 200
    full = Page(service_client.get("/").text)
    assert full.of("html")[0]["data-scope"] == "full"


@pytest.mark.parametrize(
    ("settings", "address"),
    [
        ({"mlflow_page": "http://here:5000/ml"}, "http://here:5000/ml/"),
        ({"mlflow_uri": "https://store:5000"}, "https://store:5000/"),
        ({"mlflow_uri": "https://me:secret@store:5000"}, None),
        ({}, None),
    ],
)
def test_a_study_leads_to_mlflow_where_a_browser_finds_it(
    recorded_root: Path, tmp_path: Path, settings: dict[str, str], address: str | None
) -> None:
    shutil.copytree(recorded_root / "studies", tmp_path / "studies")
    with client_of(tmp_path, **settings) as client:
        page = Page(client.get("/studies/flowers").text)
        answer = client.get("/studies/flowers/mlflow", follow_redirects=False)
    link = "../studies/flowers/mlflow"
    assert (link in page.values("href")) == (address is not None)
    assert answer.headers.get("location") == address
    assert answer.status_code == (404 if address is None else 303)
    assert "secret" not in answer.text


@pytest.mark.parametrize("page", ["localhost:5000", "ftp://here", "http://me:secret@here"])
def test_an_address_of_mlflow_that_is_none_is_one_problem(tmp_path: Path, page: str) -> None:
    with pytest.raises(ConfigError, match=r"^--mlflow-page .*: an address as browsers"):
        ServiceSettings(root=tmp_path, mlflow_page=page).check()


def test_the_form_names_the_folders_in_which_images_may_lie(tmp_path: Path) -> None:
    with client_of(tmp_path, data_roots=(tmp_path / "a", tmp_path / "b")) as client:
        page = Page(client.get("/new").text)
        reads = client.app.state.service.tokens.create("eyes", "read")  # type: ignore[attr-defined]
        others = client.get("/new", headers={"Authorization": f"Bearer {reads}"}).text
    folders = [str(tmp_path / "a"), str(tmp_path / "b")]
    assert [o["value"] for o in page.of("option") if o.get("value") in folders] == folders
    assert {*folders} <= set(page.words)
    assert str(tmp_path) not in others
    with client_of(tmp_path) as client:
        assert "--data-root" in Page(client.get("/new").text).words
