"""Services that tests ask in this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.support import recorded_store
from tests.support.services import client_of


@pytest.fixture(scope="session")
def recorded_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a root with the finished study ``flowers``, which tests only read."""
    root = tmp_path_factory.mktemp("recorded")
    recorded_store.write(root)
    return root


@pytest.fixture(scope="session")
def service_client(recorded_root: Path) -> Iterator[TestClient]:
    """Give a client, with a token of scope full, of a service over the study ``flowers``.

    Tests only read from the service; one that changes something makes its own by ``client_of``.
    """
    with client_of(recorded_root) as client:
        yield client


@pytest.fixture
def empty_client(tmp_path: Path) -> Iterator[TestClient]:
    """Give a client, with a token of scope full, of a service without any study."""
    with client_of(tmp_path / "root") as client:
        yield client
