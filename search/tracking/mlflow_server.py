"""MLflow's page on a store, served by this process.

``mlflow ui`` imports MLflow twice, once for its command line and once for its server, and prints
notices of its own. Here the server is imported once, and runs in this process.
"""

from __future__ import annotations

import errno
import os
import socket
import warnings
from collections.abc import Callable
from contextlib import suppress

from archfront.search.errors import ConfigError, StudyError
from archfront.search.records.postgres import with_driver
from archfront.search.records.storage_urls import hide_password
from archfront.search.tracking.mlflow_client import (
    making_tables,
    not_importable,
    set_environment,
)
from archfront.trainers.words import WIDTH, shortened

# Jobs are not archfront's, and start more processes.
NO_JOBS = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
# Where the server lets clients find the artifacts of new experiments: with itself.
SERVED_ARTIFACTS = "mlflow-artifacts:/"
# A port that everybody may listen at, and the largest one.
MAY, MOST = 8001, 65535


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens at an address, so that it is known to be free.

    Raises:
        ConfigError: If it is not, or this machine has no such address.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        at = socket.create_server(address[:2], family=family)
    except (OSError, UnicodeError) as error:
        raise ConfigError(
            f"--host {host} --port {port}: the address cannot be used: {_unused(port, error)}"
        ) from error
    # Connections have it from here: asyncio sets it only where a socket names its protocol, and
    # without it an answer on a connection that is kept waits 40 ms for an acknowledgment.
    at.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return at


def _unused(port: int, error: OSError | UnicodeError) -> str:
    """Return why no server can listen at an address, and what to do."""
    another = "Give an address of this machine, as --host 127.0.0.1, or 0.0.0.0 for all of them."
    if isinstance(error, socket.gaierror | UnicodeError):
        return f"no host has this name. {another}"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"this machine has no such address. {another}"
    if error.errno == errno.EACCES:
        return f"this user may not listen there. Give a port of 1024 or more, as --port {MAY}."
    said = os.strerror(error.errno) if error.errno else str(error)
    return f"{said}. Give another port, as --port {port + 1 if port < MOST else MAY}."


def serve(uri: str, artifacts: str, at: socket.socket, answers: Callable[[], None]) -> None:
    """Serve MLflow's page until the process is interrupted; importing MLflow takes seconds.

    Args:
        uri: MLflow's store.
        artifacts: URI of the folder for what is logged through the page.
        at: A socket that listens.
        answers: Called when the page is there.

    Raises:
        StudyError: If MLflow cannot be imported, or the store cannot be opened.
    """
    set_environment()
    uri = with_driver(uri)
    os.environ.update(NO_JOBS)
    warnings.simplefilter("ignore")  # those of MLflow, whose process this is now
    try:
        import uvicorn
        from mlflow.server import constants
        from mlflow.server.fastapi_app import app
        from mlflow.server.handlers import initialize_backend_stores
    except ImportError as error:
        raise not_importable(error) from error
    os.environ.update(
        {
            constants.BACKEND_STORE_URI_ENV_VAR: uri,
            constants.REGISTRY_STORE_URI_ENV_VAR: uri,
            constants.ARTIFACT_ROOT_ENV_VAR: SERVED_ARTIFACTS,
            constants.ARTIFACTS_DESTINATION_ENV_VAR: artifacts,
            constants.SERVE_ARTIFACTS_ENV_VAR: "true",
        }
    )
    try:
        with making_tables(uri):
            initialize_backend_stores(uri, uri, SERVED_ARTIFACTS)
    except StudyError:
        raise
    except Exception as error:  # SQLAlchemy, alembic, requests and MLflow raise their own
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise StudyError(
            f"MLflow's store {shortened(hide_password(uri), WIDTH)} cannot be opened: {reason}."
        ) from error

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            answers()

    with suppress(KeyboardInterrupt):
        Server(uvicorn.Config(app, log_level="error")).run(sockets=[at])
