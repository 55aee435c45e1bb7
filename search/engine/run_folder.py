"""The folder of an engine's messages with the jobs of a queue."""

from __future__ import annotations

import shutil
import tempfile
import time
import uuid
from contextlib import suppress
from pathlib import Path

from archfront.search.errors import ConfigError

# Below the folder that all nodes see.
QUEUE_FOLDER = "queue"
# To it the driver writes as long as it lives.
DRIVER_FILE = "driver"
_OLD_S = 24 * 3600.0  # after which what a dead driver left is removed


def new_run_folder(shared: str | None) -> Path:
    """Return the new folder of an engine's messages, which only its user may read.

    Args:
        shared: Folder that all nodes see; None for a folder of this machine.

    Raises:
        ConfigError: If it cannot be made.
    """
    if shared is None:
        return Path(tempfile.mkdtemp(prefix="archfront-"))
    parent = Path(shared, QUEUE_FOLDER)
    try:
        parent.mkdir(parents=True, exist_ok=True)
        _remove_old(parent)
        folder = parent / uuid.uuid4().hex[:8]
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise ConfigError(f"tracking.root: {shared}: {error.strerror}.") from error
    return folder


def _remove_old(parent: Path) -> None:
    """Remove the folders of drivers that have died long ago."""
    for file in parent.glob(f"*/{DRIVER_FILE}"):
        with suppress(OSError):
            if time.time() - file.stat().st_mtime > _OLD_S:
                shutil.rmtree(file.parent, ignore_errors=True)
