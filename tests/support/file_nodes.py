"""A node to which files are sent, in this process, and folders to send."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

from archfront.search.engine.file_parts import PACK_BYTES
from archfront.search.engine.file_sets import FileSets, Outline
from archfront.search.engine.file_transfer import deliver
from archfront.search.engine.node_files import FilesSetup, NodeFiles

GB = 10**9


class Node:
    """A node on this machine, whose calls are counted and may fail once."""

    def __init__(self, home: Path, root: Path | None = None, limit_bytes: int = GB) -> None:
        shared = None if root is None else str(root)
        self.files = NodeFiles(FilesSetup(shared, limit_bytes), home)
        self.home, self.calls, self.failing = home, Counter[str](), Counter[str]()

    def __call__(self, name: str, *arguments: Any) -> Any:
        self.calls[name] += 1
        if self.failing[name] and self.calls[name] == self.failing[name]:
            raise ConnectionError(f"the node was lost in its call {name} {self.failing[name]}")
        return getattr(self.files, name)(*arguments)

    @property
    def folder(self) -> Path:
        [tree] = (self.home / "trees").iterdir()
        return tree


def drawn_folder(data: Path) -> Path:
    """Write a folder with a file of several parts, small ones, copies and an empty one."""
    (data / "cats" / "Größe ü").mkdir(parents=True)
    (data / "large.bin").write_bytes(os.urandom(2 * PACK_BYTES + 7))
    (data / "whole.bin").write_bytes(os.urandom(PACK_BYTES))
    for n in range(20):
        (data / "cats" / f"{n}.png").write_bytes(b"pixels" * n)
    (data / "cats" / "Größe ü" / "copy.png").write_bytes(b"pixels" * 3)
    return data


def content(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def sets_of(
    *sources: Path, without: Path | None = None, outline: Outline | None = None
) -> FileSets:
    left_out = None if without is None else str(without)
    return FileSets([str(s) for s in sources], without=left_out, outline=outline)


def delivered(node: Node, data: Path, sets: FileSets | None = None) -> list[tuple[float, float]]:
    """Send a folder and return what was told of it."""
    told: list[tuple[float, float]] = []
    deliver(node, sets or sets_of(data), [str(data)], lambda mb, of: told.append((mb, of)))
    return told
