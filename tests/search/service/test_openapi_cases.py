"""Requests that schemathesis makes of the API's description: every answer is one that it tells."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal
from starlette.testclient import TestClient

from archfront.search.service.app import create_app
from archfront.search.service.service_settings import ServiceSettings
from archfront.search.service.state import Service
from tests.support import recorded_store

# These are commands of their own, which take seconds, or take the bytes of an archive.
LEFT_OUT = ("/plan", "/predictions", "/report", "/upload")
# Cases of right requests and of wrong ones for each method of a path.
N_CASES = {"positive": 2, "negative": 2}
# What is in the place of names and numbers; what deletes gets any others.
PLACES: dict[str, Any] = {"name": "flowers", "number": 7, "picture": "gallery"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """Give a client of a service over a finished study, which starts nothing by itself."""
    root = tmp_path_factory.mktemp("described")
    recorded_store.write(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Service, "start", lambda self: None)
        app = create_app(ServiceSettings(root=root, requests_per_minute=10**6))
        token = app.state.service.tokens.first()
        headers = {"Authorization": f"Bearer {token}"}
        client = TestClient(app, raise_server_exceptions=False, headers=headers)
        with start_blocking_portal() as client.portal:  # one event loop for all of the requests
            yield client
        app.state.service.close()


@pytest.mark.parametrize("mode", N_CASES)
def test_every_answer_is_one_that_is_described(client: TestClient, mode: str) -> None:
    schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis.errors import Unsatisfiable
    from schemathesis.core.failures import Failure, FailureGroup
    from schemathesis.generation import GenerationMode

    schema = schemathesis.openapi.from_dict(client.get("/api/v1/openapi.json").json())
    checks, wrong, n_asked = described_checks(), list[str](), 0

    def answers(case: Any) -> None:
        nonlocal n_asked
        n_asked += 1
        answer = asked(client, case)
        try:
            case.validate_response(answer, checks=checks)
        except (Failure, FailureGroup) as error:
            wrong.append(f"{case.as_curl_command()}: {answer.status_code} {error}")

    few = settings(
        max_examples=N_CASES[mode],
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    for result in schema.get_all_operations():
        operation = result.ok()
        takes = [*operation.query, *operation.body]
        if operation.path.endswith(LEFT_OUT) or (mode == "negative" and not takes):
            continue
        cases = operation.as_strategy(
            GenerationMode(mode),
            path_parameters=places(operation) or None,
            query={"once": True} if operation.path.endswith("/events") else None,
        )
        with suppress(Unsatisfiable):  # there is nothing that could be wrong
            few(given(case=cases)(answers))()
    assert n_asked > 30
    assert wrong == [], "\n".join(wrong)


def places(operation: Any) -> dict[str, Any]:
    """Return what is in the place of the names of a path; nothing where something is deleted."""
    if operation.method == "delete":
        return {}
    return {name: value for name, value in PLACES.items() if f"{{{name}}}" in operation.path}


def described_checks() -> list[Any]:
    """Return the checks of status, type, headers and form of an answer."""
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks

    return [
        not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_headers_conformance,
        checks.response_schema_conformance,
    ]


def asked(client: TestClient, case: Any) -> Any:
    """Return the answer to a case."""
    words = case.as_transport_kwargs(base_url="http://testserver")
    if "data" in words:
        words["content"] = words.pop("data")
    words["headers"] = {
        **words.get("headers", {}),
        "Authorization": client.headers["Authorization"],
    }
    words.pop("cookies", None)
    return client.request(**words)
