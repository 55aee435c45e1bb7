"""Services in this process, over the recorded study."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from anyio.from_thread import start_blocking_portal
from starlette.testclient import TestClient

from archfront.search.service.app import create_app
from archfront.search.service.service_settings import ServiceSettings


@contextmanager
def client_of(root: Path, **changes: Any) -> Iterator[TestClient]:
    """Give a client with the first token of a service that does nothing in the background.

    ``client.app.state.service`` is the service. All requests are answered by one event loop, which
    a client would otherwise make anew for each.

    Args:
        root: Folder of the studies.
        changes: Settings of the server.
    """
    app = create_app(ServiceSettings(root=root, **changes))
    service = app.state.service
    token = service.tokens.first(anew=True)
    client = TestClient(app, headers={"Authorization": f"Bearer {token}"})
    with start_blocking_portal() as client.portal:
        yield client
    service.close()
