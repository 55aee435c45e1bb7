"""The settings of a server, given when it starts."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from archfront.search.errors import ConfigError
from archfront.search.records.postgres import is_postgres

# Whoever reaches these addresses works on this machine.
LOOPBACK = ("127.0.0.1", "localhost", "::1")
MB = 1_000_000


@dataclass(frozen=True, kw_only=True)
class ServiceSettings:
    """The settings of a server.

    Attributes:
        root: Folder of all studies, as ``ARCHFRONT_ROOT``; absolute.
        database_url: SQLAlchemy URL of the service's own tables; None for the PostgreSQL of the
            records, or a file in the root.
        data_roots: Folders in which the data of studies may lie, besides uploaded data.
        host: Address that the server listens at.
        port: Port that the server listens at.
        root_path: Path below which a proxy shows the service, as ``/archfront``; empty for none.
        max_studies: Studies that this server runs at once; more wait for their turn.
        max_commands: Other commands at once, such as exports and predictions.
        study_threads: Threads of all trainings of a study together; None for no limit.
        study_memory_mb: Memory of all processes of a study together, in 10^6 bytes; None for no
            limit.
        max_body_mb: Largest body of a request, in 10^6 bytes; uploads have a limit of their own.
        max_upload_mb: Largest upload, in 10^6 bytes.
        requests_per_minute: Requests of one token or address.
        needs_token: Whether a request needs a token.
        storage_url: SQLAlchemy URL of the records of studies; None for a journal per study.
        mlflow_uri: MLflow's store; None for the database in the root.
        mlflow_page: Address of MLflow's page as browsers reach it; None where there is none.
    """

    root: Path
    database_url: str | None = None
    data_roots: tuple[Path, ...] = ()
    host: str = LOOPBACK[0]
    port: int = 8000
    root_path: str = ""
    max_studies: int = 1
    max_commands: int = 2
    study_threads: int | None = None
    study_memory_mb: float | None = None
    max_body_mb: float = 1.0
    max_upload_mb: float = 4096.0
    requests_per_minute: int = 600
    needs_token: bool = True
    storage_url: str | None = None
    mlflow_uri: str | None = None
    mlflow_page: str | None = None

    @property
    def database(self) -> str:
        """Return the SQLAlchemy URL of the service's own tables."""
        if self.database_url is None and self.storage_url and is_postgres(self.storage_url):
            return self.storage_url
        return self.database_url or f"sqlite:///{self.folder / 'service.db'}"

    @property
    def database_flag(self) -> str:
        """Return the flag that the URL of the service's own tables is from."""
        if self.database_url is not None:
            return "--database or ARCHFRONT_DATABASE_URL"
        if self.storage_url and is_postgres(self.storage_url):
            return "--storage-url or ARCHFRONT_STORAGE_URL"
        return "--root"

    @property
    def shown_mlflow(self) -> str | None:
        """Return where a browser finds MLflow: the page that was named, or a store with one."""
        uri = self.mlflow_uri or ""
        is_page = uri.startswith(("http://", "https://")) and "@" not in uri
        return self.mlflow_page or (uri if is_page else None)

    @property
    def folder(self) -> Path:
        """Return the folder of the service's own files."""
        return self.root / "service"

    def study_folder(self, name: str) -> Path:
        """Return the folder of the service's own files of a study: its log, its configuration."""
        return self.folder / "drivers" / name

    @property
    def uploads(self) -> Path:
        """Return the folder of uploaded data, each dataset in a folder of its own."""
        return self.root / "datasets"

    @property
    def max_body_bytes(self) -> int:
        """Return the largest body of a request, in bytes."""
        return int(self.max_body_mb * MB)

    @property
    def max_upload_bytes(self) -> int:
        """Return the largest upload, in bytes."""
        return int(self.max_upload_mb * MB)

    def holds(self, path: Path, *, uploads: bool = True) -> bool:
        """Return whether a path, its links followed, lies where the data of studies may lie.

        Args:
            path: The path.
            uploads: Whether it may lie in an uploaded dataset too.
        """
        real = path.resolve()
        # The second one is that of torchvision's datasets, by their yaml file.
        folders = (*self.data_roots, self.root / "data", *([self.uploads] if uploads else []))
        return any(real.is_relative_to(folder.resolve()) for folder in folders)

    def check(self) -> None:
        """Make the root if it is not there, and check that a server can work with the settings.

        Raises:
            ConfigError: With every problem, each after the flag as it is typed.
        """
        problems = self.problems() or _make(self.root)
        if problems:
            raise ConfigError(*problems)

    def problems(self) -> list[str]:
        """Return why no server can work with the settings, each after the flag as it is typed."""
        problems = [
            f"--data-root {folder}: there is no such folder. Make it, or give another one."
            for folder in self.data_roots
            if not os.path.isdir(folder)
        ]
        problems += _root_problems(self.root)
        if self.root_path and (not self.root_path.startswith("/") or self.root_path.endswith("/")):
            problems.append(
                f"--root-path {self.root_path}: a path starts with a slash and ends without one, "
                "as /archfront."
            )
        page = self.mlflow_page
        if page is not None and (re.match(r"https?://[^/\s]", page) is None or "@" in page):
            problems.append(
                f"--mlflow-page {page}: an address as browsers take it is needed, without a "
                "password, as http://127.0.0.1:5000."
            )
        if not self.needs_token and self.host not in LOOPBACK:
            problems.append(
                f"--no-auth --host {self.host}: whoever reaches this address could start studies. "
                f"Leave --no-auth out, or listen at {LOOPBACK[0]} alone."
            )
        return problems


def _root_problems(root: Path) -> list[str]:
    """Return why a folder cannot hold studies, or cannot be made to hold them."""
    if os.path.isdir(root):  # False, too, where nothing may be asked
        if os.access(root, os.W_OK | os.X_OK):
            return []
        return [f"--root {root}: the folder cannot be written to. Give another one."]
    if os.path.lexists(root):
        return [f"--root {root}: this is no folder. Give another one."]
    if not os.path.isdir(root.parent):
        return [
            f"--root {root}: the folder {root.parent} is not there, so that this one cannot be "
            "made in it. Make it, or give another one."
        ]
    if not os.access(root.parent, os.W_OK | os.X_OK):
        return [_unmade(root, "its parent cannot be written to")]
    return []


def _make(root: Path) -> list[str]:
    """Make a folder, if it is not there, and return why it cannot be made."""
    try:
        root.mkdir(exist_ok=True)
    except OSError as error:
        return [_unmade(root, error.strerror or type(error).__name__)]
    return []


def _unmade(root: Path, reason: str) -> str:
    return f"--root {root}: the folder cannot be made: {reason}. Give another one."
