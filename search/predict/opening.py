"""What is needed to open an exported file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Opening:
    """An exported file and how it is opened.

    Attributes:
        path: File or folder.
        output_names: In the order in which they are asked for.
        threads: Intra-op threads.
        precision: Numeric precision of the file.
        task: Key of ``trainers.tasks.TASKS``.
        is_trusted: Whether the file was made here, or the user trusts who made it.
    """

    path: Path
    output_names: tuple[str, ...]
    threads: int
    precision: str
    task: str
    is_trusted: bool = False
