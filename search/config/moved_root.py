"""The configuration of a study that lies in a root which was moved or copied."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def follow_root(file: Path, content: dict[str, Any]) -> None:
    """Let the paths below the root of a study lie where the root is now."""
    tracking, folder = content.get("tracking"), file.parent
    if folder.parent.name != "studies" or not isinstance(tracking, dict):
        return
    if content.get("study") != folder.name or not isinstance(tracking.get("root"), str):
        return
    old, new = Path(tracking["root"]), folder.parent.parent
    for name in ("root", "device_db"):
        value = tracking.get(name)
        if isinstance(value, str) and Path(value).is_relative_to(old):
            tracking[name] = str(new / Path(value).relative_to(old))
