"""What tests of several folders share in a session."""

from __future__ import annotations

import gc
import logging
import os
import ssl
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from _pytest.logging import (
    DEFAULT_LOG_FORMAT,
    LogCaptureHandler,
    caplog_handler_key,
    catching_logs,
)

from archfront.search.latency import clock, memory, pace
from archfront.search.tracking.mlflow_client import VARIABLES
from archfront.trainers.threads import collector_off
from tests.support.mlflow_template import copied_databases
from tests.support.programs import Programs
from tests.support.shared_folder import shared_folder
from tests.support.unsynced import without_syncs
from tests.support.xdist_groups import name_groups

if TYPE_CHECKING:
    from tests.support.postgres_server import Server
    from tests.support.shared_exports import SharedExports

# New objects after which the garbage collector looks for circles; Python's own number is 700. What
# tests import later is visited each time, and took a twelfth of the CPU of those of reports.
COLLECTED_AFTER = 10_000

# For tests that import MLflow themselves, and before it: it reads them when it is imported.
os.environ.update(VARIABLES)
# Two threads beside another worker would spin for seconds; read when torch is imported, too.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """Return one worker more than there are cores: tests wait for processes of their own."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None  # pytest-xdist reads it
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Import the files of tests, whose millions of objects the garbage collector never visits."""
    with collector_off():
        found = yield
        gc.freeze()
    gc.set_threshold(COLLECTED_AFTER)
    return found


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests of a group in one process where ``--dist loadgroup`` is asked for."""
    if getattr(config.option, "loadgroup", False):
        name_groups(items)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Fork what tests fork from, where one of them does, before any of them is run.

    Elsewhere than on Linux a process that has used the system's libraries may not be forked.
    """
    forked = sys.modules.get("tests.support.forked")
    is_run = not session.config.option.collectonly
    if forked is not None and is_run and sys.platform == "linux":
        forked.start_server()


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that all workers have in common."""
    return shared_folder(tmp_path_factory)


@pytest.fixture(scope="session")
def exports(shared: Path) -> SharedExports:
    """Return the exports of the small members."""
    from tests.support.shared_exports import SharedExports

    return SharedExports(shared / "exports")


@pytest.fixture(scope="session")
def programs() -> Iterator[Programs]:
    """Run programs in processes of their own."""
    servers = Programs()
    yield servers
    servers.close()


@pytest.fixture
def caplog(request: pytest.FixtureRequest) -> Iterator[pytest.LogCaptureFixture]:
    """Catch the logs of a test that reads them.

    pytest's plugin, which is off, visits thousands of loggers six times for every test.
    """
    handler = LogCaptureHandler()
    handler.setFormatter(logging.Formatter(DEFAULT_LOG_FORMAT))
    request.node.stash[caplog_handler_key] = handler
    with catching_logs(handler):
        caught = pytest.LogCaptureFixture(request.node, _ispytest=True)
        yield caught
        caught._finalize()  # puts back the levels that the test has set


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder with an awkward name, and remember latencies there."""
    folder = tmp_path / "my work, v=1 (new)"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("ARCHFRONT_DEVICE_DB", str(tmp_path / "latency.db"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return folder


@pytest.fixture
def known_profiles(tmp_path: Path, shared: Path) -> None:
    """Remember profiles for all workers, beside the ``latency.db`` of a test."""
    (shared / "profiles").mkdir(exist_ok=True)
    (tmp_path / "profiles").symlink_to(shared / "profiles")


@pytest.fixture(scope="session", autouse=True)
def _signing_key(shared: Path) -> Iterator[None]:
    """Keep the key that signs exports out of the user's configuration."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(shared / "config"))
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_log_on_stderr() -> Iterator[None]:
    """Keep logs that no test reads out of the standard error, where Python writes them last."""
    handler = logging.NullHandler()
    logging.getLogger().addHandler(handler)
    yield
    logging.getLogger().removeHandler(handler)


@pytest.fixture(scope="session", autouse=True)
def _no_pauses() -> Iterator[None]:
    """Let the sittings of a timing follow each other: no test compares what they measure.

    Nor is a quiet moment waited for, which does not come while other workers test, and the pace of
    the core is looked at for a moment only.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock, "GAP_S", 0.0)
        patch.setattr(clock, "PATIENCE_SHARE", 0.0)
        patch.setattr(pace, "KERNEL_STEPS", 2)
        yield


@pytest.fixture(scope="session", autouse=True)
def _memory_of_forks() -> Iterator[None]:
    """Measure memory in forks, where there is a server of them; most tests only want a figure."""
    forked = sys.modules.get("tests.support.forked")
    if forked is None:
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "artifact_mb", forked.artifact_mb)
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_syncs() -> Iterator[None]:
    """Wait for no disk: no test ends the power."""
    with without_syncs():
        yield


@pytest.fixture(scope="session", autouse=True)
def _mlflow_databases(shared: Path) -> Iterator[None]:
    """Copy the database that MLflow otherwise creates in seconds for every root."""
    with copied_databases(shared):
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """Return a PostgreSQL of the session's own."""
    from tests.support.postgres_server import Server, programs, read_certificates

    pytest.importorskip("pg8000", reason="pg8000 is not installed: archfront[postgres]")
    found = programs()
    if found is None:
        pytest.skip("PostgreSQL is not installed")
    server = Server(found)
    with pytest.MonkeyPatch.context() as patch:  # beside other work an answer may take its time
        patch.setattr("archfront.search.records.postgres.ANSWER_S", 600)
        patch.setattr(ssl.SSLContext, "load_default_certs", read_certificates)
        yield server
    server.remove()


@pytest.fixture
def database(postgres: Server) -> str:
    """Return the URL of an empty database."""
    return postgres.new_database()
