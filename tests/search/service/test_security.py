"""Who may ask the service, and what others get."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from archfront.search.service import security, tokens
from archfront.search.service.app import API, PAGES, ROUTERS
from archfront.search.service.rates import Rates
from archfront.search.service.tokens import SESSION_S, Tokens
from tests.support.services import client_of

NO_TOKEN = {"Authorization": ""}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with client_of(tmp_path / "root") as client:
        yield client


@pytest.fixture
def stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no time pass for the rates of services that are made afterwards."""
    monkeypatch.setattr(security, "Rates", partial(Rates, clock=lambda: 0.0))


def code(answer: object) -> str:
    return answer.json()["error"]["code"]  # type: ignore[attr-defined,no-any-return]


def token_of(client: TestClient) -> str:
    return str(client.headers["Authorization"]).partition(" ")[2]


class Routes:
    """Every route of a service with each of its methods.

    Attributes:
        client: Asks for them.
    """

    def __init__(self, client: TestClient) -> None:
        self.client = client

    def ask(self, headers: dict[str, str], *, safe: bool = True) -> dict[tuple[str, str], int]:
        """Return the statuses by method and path.

        Args:
            headers: Of every request.
            safe: Whether requests that change nothing are among them.
        """
        found = {}
        routes = [(f"{API}{route.path}", route) for router in ROUTERS for route in router.routes]  # type: ignore[attr-defined]
        routes += [(route.path, route) for router in PAGES for route in router.routes]  # type: ignore[attr-defined]
        for path, route in routes:
            asked = re.sub(r"\{\w+(:\w+)?\}", "1", path)
            for method in route.methods:
                if (safe or method not in security.SAFE) and not path.endswith("/events"):
                    answer = self.client.request(
                        method, asked, headers=headers, follow_redirects=False
                    )
                    found[method, asked] = answer.status_code
        return found


class TestTokens:
    def test_only_the_health_needs_none(self, client: TestClient) -> None:
        assert client.get("/api/v1/health", headers=NO_TOKEN).json() == {"status": "ok"}
        assert client.head("/api/v1/health", headers=NO_TOKEN).status_code == 200
        for path in ("/api/v1/version", "/api/v1/tokens", "/api/v1/nowhere", "/anything"):
            answer = client.get(path, headers=NO_TOKEN)
            assert (answer.status_code, code(answer)) == (401, "no_token"), path
            assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert client.get("/api/v1/version").json()["api"] == 1
        assert client.get("/api/v1/nowhere").status_code == 404

    @pytest.mark.usefixtures("stopped_clock")
    def test_a_wrong_token_is_none_and_cannot_be_tried_often(self, tmp_path: Path) -> None:
        with client_of(tmp_path / "root") as client:
            wrong = {"Authorization": "Bearer " + token_of(client)[:-1] + "~"}
            found = [client.get("/api/v1/version", headers=wrong) for _ in range(22)]
        assert [answer.status_code for answer in found] == [401] * 20 + [429] * 2
        assert code(found[0]) == "wrong_token"
        assert "There is no such token" in found[0].text

    @pytest.mark.usefixtures("stopped_clock")
    def test_a_login_cannot_be_tried_often(self, tmp_path: Path) -> None:
        """Wrong tokens were taken there 600 times a minute, and from pages that ask for HTML."""
        with client_of(tmp_path / "root") as client:
            right = token_of(client)

            def status(token: str) -> int:
                return client.post("/login", json={"token": token}, headers=NO_TOKEN).status_code

            assert [status(right) for _ in range(25)] == [200] * 25  # right ones count nowhere
            client.cookies.clear()
            assert [status(f"{right}~") for _ in range(10)] == [401] * 10
            asks = {"Authorization": f"Bearer {right}~", "Accept": "text/html"}
            led = [client.get("/", headers=asks, follow_redirects=False) for _ in range(12)]
            assert [answer.status_code for answer in led] == [303] * 10 + [429] * 2
            assert status(f"{right}~") == status(right) == 429
            assert client.get("/api/v1/version").status_code == 200  # who has a token goes on

    def test_no_secret_is_stored_or_listed(self, client: TestClient, tmp_path: Path) -> None:
        made = client.post("/api/v1/tokens", json={"name": "laptop", "scope": "read"}).json()
        listed = client.get("/api/v1/tokens").json()
        assert [row["name"] for row in listed] == ["first", "laptop"]
        stored = b"".join(f.read_bytes() for f in (tmp_path / "root/service").iterdir())
        assert (tmp_path / "root/service").stat().st_mode & 0o077 == 0
        for secret in (made["token"], token_of(client)):
            assert len(secret) >= 43
            assert secret not in str(listed)
            assert secret.encode() not in stored

    def test_a_token_that_reads_changes_nothing(self, client: TestClient) -> None:
        made = client.post("/api/v1/tokens", json={"name": "eyes"}).json()
        reads = {"Authorization": f"Bearer {made['token']}"}
        assert client.get("/api/v1/version", headers=reads).status_code == 200
        asked = (("POST", "/api/v1/tokens"), ("DELETE", "/api/v1/x"), ("GET", "/api/v1/tokens"))
        for method, path in asked:
            answer = client.request(method, path, headers=reads, json={"name": "more"})
            assert (answer.status_code, code(answer)) == (403, "read_only"), path

    def test_a_session_that_reads_can_end(self, client: TestClient) -> None:
        made = client.post("/api/v1/tokens", json={"name": "eyes"}).json()
        assert client.post("/login", json={"token": made["token"]}, headers=NO_TOKEN).is_success
        assert client.post("/logout", headers=NO_TOKEN).status_code == 204
        assert client.get("/api/v1/version", headers=NO_TOKEN).status_code == 401

    def test_a_deleted_token_is_none(self, client: TestClient) -> None:
        made = client.post("/api/v1/tokens", json={"name": "short"}).json()
        (row,) = [r for r in client.get("/api/v1/tokens").json() if r["name"] == "short"]
        assert client.delete(f"/api/v1/tokens/{row['id']}").status_code == 204
        gone = {"Authorization": f"Bearer {made['token']}"}
        assert client.get("/api/v1/version", headers=gone).status_code == 401
        answer = client.delete(f"/api/v1/tokens/{row['id']}")
        assert (answer.status_code, code(answer)) == (404, "no_such_token")

    def test_two_tokens_have_two_names(self, client: TestClient) -> None:
        answer = client.post("/api/v1/tokens", json={"name": "first"})
        assert (answer.status_code, code(answer)) == (409, "token_exists")
        answer = client.post("/api/v1/tokens", json={"name": "<b>", "scope": "all", "more": 1})
        options = [problem["option"] for problem in answer.json()["error"]["problems"]]
        assert (answer.status_code, options) == (422, ["name", "scope", "more"])

    def test_the_first_token_is_made_once_and_anew(self, client: TestClient) -> None:
        tokens: Tokens = client.app.state.service.tokens  # type: ignore[attr-defined]
        assert tokens.first() is None
        secret = tokens.first(anew=True)
        assert secret is not None
        assert client.get("/api/v1/version").status_code == 401
        client.headers["Authorization"] = f"Bearer {secret}"
        assert client.get("/api/v1/version").status_code == 200


class TestEveryRoute:
    """Over every route that there is, so that a new one is tested too."""

    @pytest.fixture
    def routes(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Routes]:
        monkeypatch.setattr(security, "WRONG_PER_MINUTE", 100_000)
        with client_of(tmp_path / "root", requests_per_minute=100_000) as client:
            yield Routes(client)

    def test_needs_a_token_but_for_the_open_ones(self, routes: Routes) -> None:
        answers = routes.ask(NO_TOKEN)
        refused = {asked for asked, status in answers.items() if status == 401}
        is_open = {path for _, path in answers.keys() - refused}
        assert len(refused) > 20
        assert is_open - {"/login", "/api/v1/health"} == {
            path for path in is_open if path.startswith("/static/")
        }

    def test_that_changes_something_is_refused_to_other_sites(self, routes: Routes) -> None:
        token = token_of(routes.client)
        routes.client.post("/login", json={"token": token}, headers=NO_TOKEN)
        del routes.client.headers["Authorization"]
        answers = routes.ask({"Origin": "https://evil.example"}, safe=False)
        assert set(answers.values()) == {403}


class TestLogin:
    @pytest.fixture
    def session(self, client: TestClient) -> TestClient:
        """Return a client with the cookie of a login, and no token of its own."""
        answer = client.post("/login", json={"token": token_of(client)}, headers=NO_TOKEN)
        assert answer.status_code == 200
        cookie = answer.headers["set-cookie"].lower()
        for part in ("httponly", "samesite=strict", "path=/", f"max-age={int(SESSION_S)}"):
            assert part in cookie
        assert token_of(client) not in cookie
        del client.headers["Authorization"]
        return client

    def test_a_cookie_is_enough_until_the_logout(self, session: TestClient) -> None:
        assert session.get("/api/v1/version").status_code == 200
        cookies = dict(session.cookies)
        assert session.post("/logout").status_code == 204
        session.cookies.update(cookies)
        assert session.get("/api/v1/version").status_code == 401

    def test_a_form_leads_to_the_page(self, client: TestClient) -> None:
        form = {"token": token_of(client)}
        answer = client.post("/login", data=form, headers=NO_TOKEN, follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")

    @pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"token": 3}', b"\xff"])
    def test_what_is_no_token_is_refused(self, client: TestClient, body: bytes) -> None:
        headers = {**NO_TOKEN, "Content-Type": "application/json"}
        answer = client.post("/login", content=body, headers=headers)
        assert (answer.status_code, code(answer)) == (401, "wrong_token")

    @pytest.mark.parametrize(
        "headers",
        [
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Sec-Fetch-Site": "cross-site", "Origin": "http://testserver"},
            {"Sec-Fetch-Site": "same-site"},
        ],
    )
    def test_another_site_changes_nothing(
        self, session: TestClient, headers: dict[str, str]
    ) -> None:
        answer = session.post("/api/v1/tokens", json={"name": "evil"}, headers=headers)
        assert (answer.status_code, code(answer)) == (403, "foreign_site")
        assert session.post("/login", json={}, headers=headers).status_code == 403
        own = {"Sec-Fetch-Site": "same-origin"}
        assert session.post("/api/v1/tokens", json={"name": "own"}, headers=own).status_code == 201
        own = {"Origin": "http://testserver"}
        assert session.post("/api/v1/tokens", json={"name": "2"}, headers=own).status_code == 201

    def test_a_session_ends_with_its_token_and_with_time(
        self, session: TestClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tokens, "REMEMBERED_S", 0.0)
        service = session.app.state.service  # type: ignore[attr-defined]
        database, later = service.database, 0.0
        clock = database._clock
        database._clock = lambda: clock() + later
        assert session.get("/api/v1/version").status_code == 200
        later = SESSION_S + 1
        assert session.get("/api/v1/version").status_code == 401
        later = 0.0
        service.tokens.first(anew=True)
        assert session.get("/api/v1/version").status_code == 401

    def test_a_token_is_looked_up_once_in_seconds_until_it_is_deleted(
        self, client: TestClient
    ) -> None:
        database, now = client.app.state.service.database, 0.0  # type: ignore[attr-defined]
        here, there = (Tokens(database, clock=lambda: now) for _ in range(2))
        secret = here.create("laptop", "read")
        assert here.remembered(secret) is None
        identity = here.who(secret)
        assert identity is not None
        assert here.remembered(secret) == identity == there.who(secret)
        here.delete(identity.id)
        assert here.remembered(secret) is here.who(secret) is None
        assert there.who(secret) == identity  # another server, for seconds
        now = tokens.REMEMBERED_S
        assert there.remembered(secret) is there.who(secret) is None

    def test_no_look_at_the_database_holds_other_requests_up(
        self, client: TestClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A login waited for the database in the thread in which all requests are taken."""
        found = client.app.state.service.tokens  # type: ignore[attr-defined]
        asked = []

        def apart(name: str) -> Callable[[Any], Any]:
            call = getattr(found, name)

            def checked(given: Any) -> Any:
                with pytest.raises(RuntimeError, match="no running event loop"):
                    asyncio.get_running_loop()
                asked.append(name)
                return call(given)

            return checked

        for name in ("who", "begin_session"):
            monkeypatch.setattr(found, name, apart(name))
        assert client.get("/api/v1/tokens").status_code == 200
        body = {"token": token_of(client)}
        assert client.post("/login", json=body, headers=NO_TOKEN).status_code == 200
        assert asked == ["who", "who", "begin_session"]

    def test_a_browser_without_a_session_is_led_to_the_login(self, tmp_path: Path) -> None:
        with client_of(tmp_path / "below", root_path="/team/archfront") as client:
            html = {**NO_TOKEN, "Accept": "text/html"}
            for path, back in (
                ("/", ""),
                ("/team/archfront/studies", "?to=studies"),
                ("/compare?study=a&study=b", "?to=compare%3Fstudy%3Da%26study%3Db"),
            ):
                answer = client.get(path, headers=html, follow_redirects=False)
                assert answer.status_code == 303
                assert answer.headers["location"] == f"/team/archfront/login{back}"
            for path in ("/api/v1/version", "/team/archfront/api/v1/version"):
                assert client.get(path).status_code == 200


class TestLimits:
    def test_a_body_is_small(self, client: TestClient) -> None:
        large = b'"' + b"x" * 1_000_001 + b'"'
        answer = client.post("/api/v1/tokens", content=large)
        assert (answer.status_code, code(answer)) == (413, "too_large")
        chunks = (large[n : n + 65_536] for n in range(0, len(large), 65_536))
        answer = client.post("/api/v1/tokens", content=chunks)
        assert (answer.status_code, code(answer)) == (413, "too_large")

    def test_a_body_has_one_length(self, client: TestClient) -> None:
        headers = {"Content-Length": "2", "Transfer-Encoding": "chunked"}
        answer = client.post("/api/v1/tokens", content=b"{}", headers=headers)
        assert (answer.status_code, code(answer)) == (400, "two_lengths")
        assert answer.headers["Connection"] == "close"

    @pytest.mark.usefixtures("stopped_clock")
    def test_requests_have_a_rate(self, tmp_path: Path) -> None:
        with client_of(tmp_path / "root", requests_per_minute=2) as client:
            found = [client.get("/api/v1/version") for _ in range(3)]
        assert [answer.status_code for answer in found] == [200, 200, 429]
        assert 1 <= int(found[-1].headers["Retry-After"]) <= 30

    def test_what_a_client_has_left_fills_up(self) -> None:
        now = 0.0
        rates = Rates(60, clock=lambda: now)
        assert [rates.wait_s("a", cost=30) for _ in range(2)] == [0.0, 0.0]
        assert (rates.wait_s("a"), rates.wait_s("b")) == (1.0, 0.0)
        now = 5.0
        assert [rates.wait_s("a") > 0 for _ in range(6)] == [False] * 5 + [True]

    def test_without_tokens_only_this_machine_is_answered(self, tmp_path: Path) -> None:
        with client_of(tmp_path / "root", needs_token=False) as client:
            answer = client.get("/api/v1/version", headers=NO_TOKEN)
            assert (answer.status_code, code(answer)) == (403, "foreign_host")
            here = {**NO_TOKEN, "Host": "localhost:8000"}
            assert client.get("/api/v1/version", headers=here).status_code == 200
            evil = {**here, "Origin": "https://evil.example"}
            assert client.post("/api/v1/tokens", json={}, headers=evil).status_code == 403

    def test_every_answer_says_how_little_a_browser_may_do(self, client: TestClient) -> None:
        for path in ("/api/v1/health", "/api/v1/nowhere", "/api/v1/openapi.json"):
            headers = client.get(path).headers
            assert "default-src 'none'" in headers["Content-Security-Policy"]
            assert "unsafe" not in headers["Content-Security-Policy"]
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert "Strict-Transport-Security" not in headers
        secure = client.get("https://testserver/api/v1/health").headers
        assert secure["Strict-Transport-Security"] == "max-age=31536000"
