"""Packages of a user's own with the names of our folders, before ours on the path."""

from __future__ import annotations

from pathlib import Path


def write(folder: Path) -> Path:
    """Write packages ``search``, ``trainers`` and ``conf``, whose import fails; return the folder.

    Args:
        folder: Where they lie; it is made.
    """
    for name in ("search", "trainers", "conf", "search/engine"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "__init__.py").write_text(f"raise RuntimeError({name!r})\n")
    (folder / "conf" / "config.yaml").write_text("seed: wrong\n")
    return folder
