"""Decoded images are shared by the processes of a machine, and are what each would decode."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from archfront.trainers.data import (
    DataRef,
    Dataset,
    ImageSet,
    Preprocess,
    decoded,
    load,
    loading,
    samples,
)
from archfront.trainers.data.disk_cache import DiskCache
from archfront.trainers.errors import DataError

ROOT = Path(__file__).resolve().parents[3]
N_IMAGES = 12
PREPROCESS = Preprocess(24, 3, (0.5,) * 3, (0.5,) * 3)

# Takes a key of a disk cache, notes who makes it, and waits inside until both processes are at it.
MAKER = """
import os, sys, time
from pathlib import Path
from archfront.trainers.data.disk_cache import DiskCache

root, me = Path(sys.argv[1]), sys.argv[2]

def make(folder):
    with (root / "made").open("a") as file:
        file.write(me)
    deadline = time.monotonic() + 20
    while len(list(root.glob("at-*"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    (folder / "content").write_text(me)

(root / f"at-{me}").touch()
print((DiskCache(root / "cache", 10**6).folder("key", make) / "content").read_text())
"""
DIES = """
import os, signal, sys
from pathlib import Path
from archfront.trainers.data.disk_cache import DiskCache

def make(folder):
    (folder / "content").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)

DiskCache(Path(sys.argv[1]), 10**6).folder("key", make)
"""


def process(script: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def write(folder: Path, text: str = "whole") -> None:
    (folder / "content").write_text(text)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Two classes of images of several sizes, one of them broken."""
    rng = np.random.default_rng(0)
    for label in "ab":
        folder = tmp_path / "images" / label
        folder.mkdir(parents=True)
        for number in range(N_IMAGES):
            pixels = rng.integers(0, 256, (20 + number, 30, 3), np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    (tmp_path / "images" / "a" / "broken.png").write_bytes(b"no image")
    return tmp_path / "images"


def ref(images: Path, shared: Path | None) -> DataRef:
    own = DataRef("folder", str(images), None, False, 0.5, 0.5, 0, 0, None, "skip", 100)
    return replace(own, shared=None if shared is None else str(shared), shared_mb=50)


def anew(reference: DataRef) -> Dataset:
    """Load as another process would, which remembers nothing."""
    loading._load.cache_clear()
    return load(reference)


def tensors(dataset: Dataset) -> list[torch.Tensor]:
    found = [ImageSet.of(split, PREPROCESS).tensor for split in dataset.splits.values()]
    assert all(tensor is not None for tensor in found)
    return [tensor for tensor in found if tensor is not None]


def forbid(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError(f"{name} was called")

    module = decoded if name == "read_with_digest" else samples
    monkeypatch.setattr(module, name, fail)


def test_two_processes_at_once_make_a_folder_once(tmp_path: Path) -> None:
    both = [process(MAKER, str(tmp_path), name) for name in "12"]
    said = [worker.communicate(timeout=600)[0].strip() for worker in both]
    made = (tmp_path / "made").read_text()
    assert made in ("1", "2")
    assert said == [made, made]


def test_what_a_dead_process_left_is_made_anew(tmp_path: Path) -> None:
    dead = process(DIES, str(tmp_path))
    dead.communicate(timeout=600)
    assert dead.returncode == -signal.SIGKILL
    folder = DiskCache(tmp_path, 10**6).folder("key", write)
    assert folder is not None
    assert (folder / "content").read_text() == "whole"
    assert sorted(os.listdir(tmp_path)) == [".key.lock", "key"]


def test_the_least_recently_used_folders_make_room(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, 25)
    for number, key in enumerate("abc"):
        folder = cache.folder(key, lambda f: write(f, "x" * 10))
        assert folder is not None
        os.utime(folder, (number, number))
        if key == "b":
            os.utime(tmp_path / "a", (5, 5))  # used after b
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_dir()) == ["a", "c"]


def test_what_is_larger_than_the_disk_cache_is_not_kept(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, 25)
    assert cache.folder("a", lambda f: write(f, "x" * 10)) is not None
    assert cache.folder("b", lambda f: write(f, "x" * 30)) is None
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_dir()) == ["a"]


def test_what_was_too_large_is_begun_again_only_for_more_room(tmp_path: Path) -> None:
    begun = []

    def make(folder: Path) -> None:
        begun.append(folder)
        write(folder, "x" * 30)

    assert [DiskCache(tmp_path, 25).folder("key", make) for _ in range(2)] == [None, None]
    assert len(begun) == 1
    assert DiskCache(tmp_path, 35).folder("key", make) == tmp_path / "key"


def test_a_full_disk_is_said_and_costs_only_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fill(folder: Path) -> None:
        write(folder)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    assert DiskCache(tmp_path, 10**6).folder("key", fill) is None
    assert "key cannot be shared, so every worker reads for itself: " in caplog.text
    assert "No space left on device" in caplog.text
    assert not [p for p in tmp_path.iterdir() if p.is_dir()]


def test_a_root_that_cannot_be_made_costs_only_time(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert DiskCache(tmp_path / "file" / "below", 10**6).folder("key", write) is None


def test_shared_images_are_those_that_a_process_decodes_itself(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "SHARED_MIN_MB", 0.0)
    own = anew(ref(images, None))
    first = anew(ref(images, tmp_path / "cache"))
    expected = tensors(own)
    assert first.fingerprint == own.fingerprint
    assert first.summary() == own.summary()
    assert all(map(torch.equal, tensors(first), expected))
    forbid("read_with_digest", monkeypatch)
    forbid("_stacked", monkeypatch)
    second = anew(ref(images, tmp_path / "cache"))
    assert second.fingerprint == own.fingerprint
    assert [s.detail for s in second.skipped] == [s.detail for s in own.skipped]
    assert all(map(torch.equal, tensors(second), expected))


def test_a_changed_file_is_decoded_anew(images: Path, tmp_path: Path) -> None:
    before = anew(ref(images, tmp_path / "cache"))
    file = images / "b" / "3.png"
    times = file.stat()
    pixels = np.asarray(Image.open(file))[::-1]
    Image.fromarray(pixels).save(file)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))  # as a copy that keeps times
    after = anew(ref(images, tmp_path / "cache"))
    assert after.fingerprint != before.fingerprint
    assert after.fingerprint == anew(ref(images, None)).fingerprint


def test_a_disk_cache_too_small_decodes_as_without(images: Path, tmp_path: Path) -> None:
    small = replace(ref(images, tmp_path / "cache"), shared_mb=0.01)
    dataset = anew(small)
    assert dataset.fingerprint == anew(ref(images, None)).fingerprint
    assert not [p for p in (tmp_path / "cache").iterdir() if p.is_dir()]


def test_broken_images_stop_the_study_from_the_disk_cache_too(
    images: Path, tmp_path: Path
) -> None:
    strict = replace(ref(images, tmp_path / "cache"), on_error="stop")
    for _ in range(2):
        with pytest.raises(
            DataError, match=r"a/broken\.png: it is not an image of a known format"
        ):
            anew(strict)


def test_a_disk_cache_emptied_meanwhile_is_filled_again(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may remove a folder between its making and its reading."""
    monkeypatch.setattr(decoded, "INDEX", "gone/index.json")
    monkeypatch.setattr(decoded, "_decode", lambda *given: None)
    dataset = anew(ref(images, tmp_path / "cache"))
    assert dataset.fingerprint == anew(ref(images, None)).fingerprint
