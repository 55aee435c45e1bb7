"""The table of latencies in the folder that was used before XDG_CACHE_HOME was honored."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from archfront.search.records.paths import EARLIER_CACHE, cache_file
from archfront.trainers.files import replacing

# The fastest pace of the machine lies beside the table.
PACE = "pace.json"


def adopt_earlier(path: Path) -> None:
    """Copy the earlier table, with the pace, where a table is not there yet.

    Only the table in the user's cache folder has an earlier place. What cannot be copied is left
    out, and is measured again.
    """
    earlier = Path(EARLIER_CACHE).expanduser() / path.name
    if path.exists() or path != cache_file(path.name) or not earlier.is_file():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(sqlite3.Error, OSError):
        with (
            replacing(path) as written,
            closing(sqlite3.connect(earlier)) as source,
            closing(sqlite3.connect(written)) as copy,
        ):
            source.backup(copy)
        if not path.with_name(PACE).exists():
            shutil.copy2(earlier.with_name(PACE), path.with_name(PACE))
