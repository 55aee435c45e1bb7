"""Folders and files of a dataset that this user may not read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from archfront.trainers.data import DataRef, load
from archfront.trainers.data.readers import READERS, paths, read_raw
from archfront.trainers.data.targets import TargetKind
from archfront.trainers.errors import DataError
from tests.support.drawn_datasets import WRITERS
from tests.support.drawn_images import REF, draw_folder


def refuse(entry: Path) -> Any:
    raise PermissionError(13, "Permission denied", str(entry))


@pytest.mark.parametrize(("reader", "target"), [("folder", "label"), ("masks", "mask")])
def test_one_that_may_not_be_entered_is_named(
    reader: str, target: TargetKind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its entries can be listed, and what they are is not told: a traceback but for folders."""
    ref = drawn_for(reader, target, tmp_path / "data")
    is_dir, visible = Path.is_dir, paths.visible
    listed: set[Path] = set()

    def noted(folder: Path) -> list[Path]:
        listed.update(found := visible(folder))
        return found

    monkeypatch.setattr(paths, "visible", noted)
    monkeypatch.setattr(Path, "is_dir", lambda p: refuse(p) if p in listed else is_dir(p))
    for read in (read_raw, load):
        listed.clear()
        with pytest.raises(DataError, match=r"^data\.root .* cannot be read: .*Permission denied"):
            read(ref)


def drawn_for(reader: str, target: TargetKind, folder: Path) -> DataRef:
    if reader == "folder":
        return draw_folder(folder, {"cat": 4, "dog": 4})
    return WRITERS[reader](folder, target)


@pytest.mark.parametrize("reader", [name for name, reader in READERS.items() if reader.root])
def test_what_any_reader_may_not_read_is_named(
    reader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = replace(READERS[reader], read=lambda ref: refuse(tmp_path / "secret"))
    monkeypatch.setitem(READERS, reader, refused)
    ref = replace(REF, reader=reader, root=str(tmp_path), target=refused.gives[0])
    with pytest.raises(DataError, match=r"secret: Permission denied\. Let this user read all"):
        read_raw(ref)
