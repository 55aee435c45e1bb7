"""The files that a browser loads for the pages, read once; their folder has their version."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "static"
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_IMPORT = re.compile(r"""from "\./([a-z_]+\.js)";""")


@dataclass(frozen=True)
class PageFile:
    """One file.

    Attributes:
        content: Its bytes.
        media_type: Its type.
    """

    content: bytes
    media_type: str


@cache
def page_files() -> dict[str, PageFile]:
    """Return the files by name."""
    return {
        path.name: PageFile(path.read_bytes(), TYPES[path.suffix])
        for path in sorted(FOLDER.iterdir())
        if path.suffix in TYPES
    }


@cache
def version() -> str:
    """Return the version of all files together: another one when any of them has changed.

    The modules import each other by relative names, so that they come of one version.
    """
    digest = hashlib.sha256()
    for name, file in page_files().items():
        digest.update(name.encode() + b"\0" + file.content)
    return digest.hexdigest()[:12]


@cache
def modules(name: str) -> tuple[str, ...]:
    """Return the modules that a module imports, and theirs, so that a browser loads them at once.

    Args:
        name: Name of the file of the module.
    """
    found: dict[str, None] = {}
    queue = [name]
    while queue:
        file = page_files().get(queue.pop())
        imported = _IMPORT.findall("" if file is None else file.content.decode())
        queue += [one for one in imported if one not in found]
        found |= dict.fromkeys(imported)
    return tuple(found)
