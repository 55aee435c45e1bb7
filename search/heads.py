"""Which heads each backbone can carry, remembered: finding out builds every network once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from trainers.tasks import Task


class RememberedHeads:
    """Asks a task for the heads of a backbone, and each question once per version.

    Args:
        task: Whose heads they are.
        path: JSON file of the answers; one that cannot be read is made anew.
    """

    def __init__(self, task: Task, path: Path) -> None:
        self._task, self._path = task, path
        self._known: dict[str, list[str]] = _read(path)
        self._versions = f"timm {version('timm')}, archfront {version('archfront')}"
        self._has_learned = False

    def __call__(self, backbone: str, among: Sequence[str]) -> tuple[str, ...]:
        """Return those of the heads asked for that the backbone can carry."""
        question = f"{self._versions}: {type(self._task).__name__} {backbone} {','.join(among)}"
        if question not in self._known:
            self._known[question] = list(self._task.heads_for(backbone, among))
            self._has_learned = True
        return tuple(self._known[question])

    def save(self) -> None:
        """Write what was learned, if anything."""
        if self._has_learned:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            part = self._path.with_name(self._path.name + ".part")
            part.write_text(json.dumps(self._known, indent=0), encoding="utf-8")
            part.replace(self._path)


def _read(path: Path) -> dict[str, list[str]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
