"""What was found in files is remembered, and read again when a file or the memory is damaged."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from archfront.trainers.data import DataRef, Dataset, load
from archfront.trainers.data import loading as loading_module
from archfront.trainers.data import verify as verify_module
from archfront.trainers.data.file_facts import FileFacts, file_facts
from archfront.trainers.data.image_files import PixelLimit
from archfront.trainers.data.targets import Mask
from tests.support.drawn_datasets import write_masks, write_yolo
from tests.support.drawn_images import draw_fashion_mnist


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that grows by each image and each mask that is decoded while loading."""
    seen: list[str] = []
    read, indices = verify_module.read_with_digest, Mask.indices

    def read_and_count(source: Path, limit: PixelLimit) -> object:
        seen.append("image")
        return read(source, limit)

    def indices_and_count(mask: Mask) -> object:
        seen.append("mask")
        return indices(mask)

    monkeypatch.setattr(verify_module, "read_with_digest", read_and_count)
    monkeypatch.setattr(Mask, "indices", indices_and_count)
    return seen


def started_anew(ref: DataRef) -> Dataset:
    """Load the data as a new process does."""
    loading_module._load.cache_clear()
    file_facts.cache_clear()
    return load(ref)


@pytest.fixture
def ref(tmp_path: Path) -> DataRef:
    """Return masks whose decoded images do not fit into the disk cache."""
    shared = str(tmp_path / "cache" / "images")
    return replace(write_masks(tmp_path / "data"), shared=shared, shared_mb=0.0001)


def cache_file(ref: DataRef) -> Path:
    assert ref.shared is not None
    (file,) = Path(ref.shared).with_name("files").iterdir()
    return file


def test_a_second_start_decodes_nothing_and_gives_the_same(
    ref: DataRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = load(replace(ref, shared=None))
    seen = counted(monkeypatch)
    first = started_anew(ref)
    assert (seen.count("image"), seen.count("mask")) == (24, 24)
    seen.clear()
    second = started_anew(ref)
    assert seen == []
    assert plain.fingerprint == first.fingerprint == second.fingerprint
    assert first.summary() == second.summary()


def test_a_changed_file_is_read_again_and_no_other(
    ref: DataRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = started_anew(ref).fingerprint
    seen = counted(monkeypatch)
    root = Path(ref.root or "")
    (root / "masks" / "00001.png").write_bytes((root / "masks" / "00002.png").read_bytes())
    os.utime(root / "images" / "00003.png")
    assert started_anew(ref).fingerprint != before
    assert sorted(seen) == ["image", "mask"]


def pixels_of_classes(dataset: Dataset) -> list[int]:
    splits = dataset.summary().splits.values()
    return [sum(split.per_class[name] for split in splits) for name in dataset.class_names]


def test_other_classes_of_the_same_masks_are_counted_anew(ref: DataRef) -> None:
    counts = pixels_of_classes(started_anew(ref))
    swapped = replace(ref, palette=tuple((str(n), (3 - n,)) for n in range(4)), classes=None)
    assert pixels_of_classes(started_anew(swapped)) == counts[::-1]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "no text": lambda content: b"\xff\xfe\x00\x80" * 9,
    "another version": lambda content: content.replace(b'"version": "', b'"version": "old-', 1),
    "another number": lambda content: content.replace(b"[32, 32, 3, ", b"[64, 32, 3, ", 1),
    "another shape": lambda content: b"[1, 2]\n[]\n",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_memory_is_ignored_and_written_anew(
    ref: DataRef, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = started_anew(ref)
    file = cache_file(ref)
    whole = file.read_bytes()
    broken = DAMAGES[damage](whole)
    assert broken != whole
    file.write_bytes(broken)
    seen = counted(monkeypatch)
    assert started_anew(ref).fingerprint == first.fingerprint
    assert len(seen) == 48
    assert len(file.read_bytes()) == len(whole)


def test_the_memory_is_plain_json(ref: DataRef) -> None:
    started_anew(ref)
    head, body = cache_file(ref).read_text().splitlines()
    assert json.loads(head).keys() == {"version", "sha256"}
    assert all(isinstance(entry, list) for entry in json.loads(body).values())


def test_facts_of_long_ago_are_forgotten(tmp_path: Path) -> None:
    memory, file = tmp_path / "cache" / "a.json", tmp_path / "x"
    file.write_text("x")
    for number in range(20):
        facts = FileFacts(memory)
        facts.get(file, f"kind {number}", lambda: [1])
        facts.save()
        assert len(json.loads(memory.read_text().splitlines()[1])) <= 5


def test_a_broken_file_is_not_remembered(ref: DataRef) -> None:
    skipping = replace(ref, on_error="skip")
    mask = Path(ref.root or "") / "masks" / "00001.png"
    whole = mask.read_bytes()
    mask.write_bytes(b"")
    assert [item.reason for item in started_anew(skipping).skipped] == ["broken mask"]
    mask.write_bytes(whole)
    assert started_anew(skipping).skipped == ()


def test_a_folder_that_cannot_be_written_costs_only_time(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    facts = FileFacts(tmp_path / "cache" / "files" / "a.json")
    file = tmp_path / "x"
    file.write_text("x")
    assert facts.get(file, "kind", lambda: [1]) == [1]
    facts.save()
    assert (tmp_path / "cache").is_file()


def test_images_that_are_no_files_stay_in_memory(tmp_path: Path) -> None:
    shared = str(tmp_path / "cache" / "images")
    ref = replace(draw_fashion_mnist(tmp_path), shared=shared, shared_mb=1)
    for dataset in (started_anew(ref), started_anew(ref)):
        for samples in dataset.splits.values():
            assert all(isinstance(sample.source, np.ndarray) for sample in samples.samples)


def test_boxes_are_remembered_by_their_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = str(tmp_path / "cache" / "images")
    ref = replace(write_yolo(tmp_path / "data"), shared=shared, shared_mb=0.0001)
    first = started_anew(ref)
    seen = counted(monkeypatch)
    assert started_anew(ref).fingerprint == first.fingerprint
    assert seen == []
