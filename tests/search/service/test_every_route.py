"""Every route of the API: what it says to strangers, and to whoever asks nonsense of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal
from starlette.testclient import TestClient

from archfront.search.service.app import create_app
from archfront.search.service.bodies import PATTERNS, Body
from archfront.search.service.service_settings import ServiceSettings
from archfront.search.service.tokens import Scope
from tests.support import recorded_store

OPEN = {"/api/v1/health"}
# What may stand in the place of a name or an id in a path, as a program sends it.
HOSTILE = (
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "..%5c..%5cetc",
    "%00",
    "%ff%fe",
    "-1",
    "99999999999999999999999999",
    "' OR 1=1 --",
    "<script>alert(1)</script>",
    "{{7*7}}",
    "$(id)",
    "--help",
    "%0d%0aX-Evil:%201",
    "\u202egnp",
    "a" * 3000,
)
QUERIES = (
    "limit=-1&offset=x",
    "under=latency_ms:nan&under=:&best=0",
    "state=%00&kind=%ff",
    "export=..%2f&format=../x&min_score=nan",
    "name=../x",
    "after=%0a",
    "after=inf&best=1e999&limit=9e99&min_score=-inf",
)
BODIES = (
    b"",
    b"{",
    b"[]",
    b"null",
    b'{"name": 1e999}',
    b"\xff\xfe\x00",
    b"[" * 100_000,
    b'{"name": "\\ud800", "root": "\\u0000", "choices": {"": ""}, "options": {"": []}}',
    b'{"members": ["' + b"a" * 5000 + b'"]}',
)
Routes = list[tuple[str, str]]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    root = tmp_path_factory.mktemp("every")
    recorded_store.write(root)
    app = create_app(ServiceSettings(root=root, requests_per_minute=10**6))
    client = TestClient(app, raise_server_exceptions=False, follow_redirects=False)
    with start_blocking_portal() as client.portal:  # one event loop for all of the requests
        yield client
    app.state.service.close()


@pytest.fixture(scope="module")
def routes(client: TestClient) -> Routes:
    """Return method and path of every route but the endless streams."""
    paths = client.get("/api/v1/openapi.json").json()["paths"]
    found = [(method.upper(), path) for path, methods in paths.items() for method in methods]
    assert len(found) > 40
    return [route for route in found if not route[1].endswith("/events")]


def token(client: TestClient, scope: Scope) -> dict[str, str]:
    tokens = client.app.state.service.tokens  # type: ignore[attr-defined]
    for row in tokens.listed():
        if row["name"] == scope:
            tokens.delete(row["id"])
    return {"Authorization": f"Bearer {tokens.create(scope, scope)}"}


def filled(path: str, value: str) -> str:
    return re.sub(r"\{\w+\}", lambda _: value, path)


def check(answer: Any, *, about: str) -> None:
    """Check that an answer is right, or is an error in the one form, and never a mistake."""
    assert answer.status_code != 500, f"{about}: {answer.text}"
    assert "Traceback" not in answer.text, about
    if answer.status_code >= 400:
        error = answer.json()["error"]
        assert error.keys() == {"code", "message", "problems"}, about
        assert re.fullmatch(r"[a-z_]+", error["code"]), about
        assert error["message"], about


def test_strangers_get_nothing(client: TestClient, routes: Routes) -> None:
    allowed = {"Authorization": "Bearer " + "x" * 43}
    client = TestClient(client.app, follow_redirects=False)
    strangers = ({}, allowed, {"Cookie": "archfront_session=x"})
    for place, (method, path) in enumerate(routes):
        for headers in (strangers[0], strangers[place % 3]):
            answer = client.request(method, filled(path, "flowers"), headers=headers)
            if path in OPEN:
                assert answer.status_code == 200
                continue
            check(answer, about=f"{method} {path}")
            assert answer.status_code in (401, 429), f"{method} {path}"


def test_whoever_may_only_read_changes_nothing(client: TestClient, routes: Routes) -> None:
    reads = token(client, "read")
    for method, path in routes:
        if method != "GET" and path != "/api/v1/studies/check":
            answer = client.request(method, filled(path, "flowers"), headers=reads, json={})
            assert answer.status_code == 403, f"{method} {path}"
            assert answer.json()["error"]["code"] == "read_only"


def hostile_name(client: TestClient, route: tuple[str, str], value: str) -> None:
    method, path = route
    headers = {"Authorization": client.headers["Authorization"]}
    answer = client.request(method, filled(path, value), headers=headers)
    check(answer, about=f"{method} {path} {value!r}")
    assert answer.status_code >= 400
    assert "X-Evil" not in answer.headers


def nonsense(client: TestClient, route: tuple[str, str], place: int) -> None:
    """Ask a route with a query or a body that makes no sense."""
    method, path = route
    here = filled(path, "flowers" if "{name}" in path else "7")
    if method == "GET":
        here = f"{here}?{QUERIES[place % len(QUERIES)]}"
        answer = client.get(here)
    else:
        kind = {"Content-Type": "application/json"}  # without it nothing reads the body
        content = BODIES[place % len(BODIES)]
        answer = client.post(f"{here}?name=x", content=content, headers=kind)
    check(answer, about=f"{method} {here} {place}")


def named(routes: Routes) -> Routes:
    return [route for route in routes if "{" in route[1]]


def asked(routes: Routes) -> Routes:
    """Return the routes that take a query or a body and begin nothing by it."""
    begins = ("/predictions", "/report", "/pause", "/resume", "/cancel")
    return [r for r in routes if r[0] in ("GET", "POST") and not r[1].endswith(begins)]


def test_no_hostile_name_is_a_mistake(client: TestClient, routes: Routes) -> None:
    client.headers.update(token(client, "full"))
    for place, route in enumerate(named(routes)):
        hostile_name(client, route, HOSTILE[place % len(HOSTILE)])


def test_no_nonsense_is_a_mistake(client: TestClient, routes: Routes) -> None:
    client.headers.update(token(client, "full"))
    for place, route in enumerate(asked(routes)):
        nonsense(client, route, place)


@pytest.mark.slow
def test_nothing_hostile_is_a_mistake_of_any_route(client: TestClient, routes: Routes) -> None:
    client.headers.update(token(client, "full"))
    for route in named(routes):
        for value in HOSTILE:
            hostile_name(client, route, value)
    for route in asked(routes):
        for place in range(max(len(QUERIES), len(BODIES))):
            nonsense(client, route, place)


def test_nothing_was_written_beside_the_studies(client: TestClient) -> None:
    root: Path = client.app.state.service.settings.root  # type: ignore[attr-defined]
    assert {path.name for path in root.iterdir()} <= {"studies", "service", "datasets", "cache"}


def test_every_route_has_its_description(client: TestClient) -> None:
    schema = client.get("/api/v1/openapi.json").json()
    for path, methods in schema["paths"].items():
        for method, route in methods.items():
            assert route["description"], f"{method} {path}"
            assert {"4XX", "5XX"} <= route["responses"].keys(), f"{method} {path}"
            own = [status for status in route["responses"] if status.startswith("2")]
            content = route["responses"][own[0]].get("content", {})
            assert content or own == ["204"], f"{method} {path}"


def test_every_error_is_described_as_json(client: TestClient) -> None:
    """Those of streams and of metrics were described as events and as plain text."""
    schema = client.get("/api/v1/openapi.json").json()
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    assert schema["components"]["schemas"]["Error"]["required"] == ["error"]
    for path, methods in schema["paths"].items():
        for method, route in methods.items():
            for status in ("4XX", "5XX"):
                assert route["responses"][status]["content"] == error, f"{method} {path}"


def patterns(schema: Any) -> Iterator[str]:
    """Yield every pattern in a description."""
    if isinstance(schema, dict) and isinstance(pattern := schema.get("pattern"), str):
        yield pattern
    for part in schema.values() if isinstance(schema, dict) else schema:
        if isinstance(part, dict | list):
            yield from patterns(part)


def test_what_a_pattern_asks_for_is_told_in_words(client: TestClient) -> None:
    assert set(patterns(client.get("/api/v1/openapi.json").json())) == set(PATTERNS)
    client.headers.update(token(client, "full"))
    for answer in (
        client.post("/api/v1/datasets", json={"name": "../x", "root": "/"}),
        client.post("/api/v1/datasets/upload", params={"name": "a/b"}, content=b"x"),
        client.post("/api/v1/tokens", json={"name": "a/b"}),
    ):
        (found,) = answer.json()["error"]["problems"]
        assert found["option"] == "name"
        assert found["message"].startswith("name: a name starts with a letter")


def bodies(kind: type[Body] = Body) -> Iterator[type[Body]]:
    """Yield every kind of body of the API."""
    for own in kind.__subclasses__():
        yield own
        yield from bodies(own)


def test_every_example_is_one_of_its_kind() -> None:
    found = 0
    for kind in bodies():
        extra = kind.model_config.get("json_schema_extra")
        for example in extra.get("examples", ()) if isinstance(extra, dict) else ():
            kind.model_validate(example)
            found += 1
    assert found >= 10
