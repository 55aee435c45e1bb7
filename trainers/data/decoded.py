"""Decoded images of a dataset's files in one file that all processes of this machine map.

What is mapped is the system's page cache: it is in memory once, and not at all when memory is
needed for something else.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from numpy.typing import NDArray

from archfront.trainers.data.disk_cache import DiskCache, TooLargeError
from archfront.trainers.data.image_files import PixelLimit
from archfront.trainers.data.images import ImageSource, Pixels, read_with_digest
from archfront.trainers.data.raw import RawSample
from archfront.trainers.data.verify import Progress
from archfront.trainers.errors import DataError
from archfront.trainers.threads import threads

# Changes with what is written, and with what decodes and resizes an image.
DECODING = f"1-{PIL.__version__}"
PIXELS, INDEX = "pixels.bin", "index.json"


class Decoded:
    """Reads images from the file of pixels, with the results of ``read_with_digest``."""

    def __init__(self, folder: Path, files: Sequence[Path]) -> None:
        entries = json.loads((folder / INDEX).read_text())
        self._entries: dict[Path, Any] = dict(zip(files, entries, strict=True))
        path = folder / PIXELS
        self._pixels: NDArray[np.uint8] = (
            np.asarray(np.memmap(path, np.uint8, "r"))
            if path.stat().st_size
            else np.empty(0, np.uint8)
        )

    def read(self, source: ImageSource) -> tuple[Pixels, str]:
        """Return the pixels of a file and its SHA-256.

        Raises:
            DataError: With the message of the process that decoded it.
        """
        assert isinstance(source, Path)
        entry = self._entries[source]
        if isinstance(entry, str):
            raise DataError(entry)
        start, height, width, channels, digest = entry
        pixels = self._pixels[start : start + height * width * channels]
        return pixels.reshape(height, width, channels), digest


def decoded(
    parts: Mapping[str, Sequence[RawSample]],
    disk_cache: DiskCache,
    *,
    limit: PixelLimit,
    progress: Progress | None,
) -> Decoded | None:
    """Return the reader of decoded images, decoded now if no process did so before.

    Args:
        parts: Samples of each part.
        disk_cache: Where the decoded images are shared.
        limit: How large an image may be.
        progress: Called with the images decoded and in total, when they are.

    Returns:
        None where some images are no files, or where they cannot be shared.
    """
    sources = [raw.source for samples in parts.values() for raw in samples]
    files = [source for source in sources if isinstance(source, Path)]
    if len(files) < len(sources):
        return None
    files = list(dict.fromkeys(files))  # an image may be in a table twice

    def make(folder: Path) -> None:
        _decode(partial(_read, limit=limit), files, folder, disk_cache.limit_bytes, progress)

    folder = disk_cache.folder(f"decoded-{_key(files, limit)}", make)
    try:
        return None if folder is None else Decoded(folder, files)
    except OSError:  # removed by a process that needed the room
        return None


def _key(files: Sequence[Path], limit: PixelLimit) -> str:
    """Return a hash of the files' paths, sizes and times: another content, another key."""
    content = hashlib.sha256(f"{DECODING} {limit}".encode())
    for file in files:
        try:
            state = os.stat(file)
            times = state.st_mtime_ns, state.st_ctime_ns  # the second where the first is kept
            row = [str(file.absolute()), state.st_size, *times]
        except OSError:
            row = [str(file.absolute()), None]
        content.update(json.dumps(row).encode())
    return content.hexdigest()[:24]


def _decode(
    read: Callable[[Path], tuple[Pixels, str] | str],
    files: Sequence[Path],
    folder: Path,
    limit_bytes: int,
    progress: Progress | None,
) -> None:
    entries: list[Any] = []
    start = 0
    with (
        (folder / PIXELS).open("wb") as file,
        ThreadPoolExecutor(threads()) as pool,
    ):
        try:
            for found in pool.map(read, files):
                if isinstance(found, str):
                    entries.append(found)
                else:
                    pixels, digest = found
                    entries.append([start, *pixels.shape, digest])
                    start += pixels.nbytes
                    if start > limit_bytes:
                        raise TooLargeError
                    file.write(pixels.tobytes())
                if progress is not None:
                    progress(len(entries), len(files))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    (folder / INDEX).write_text(json.dumps(entries))


def _read(file: Path, limit: PixelLimit) -> tuple[Pixels, str] | str:
    try:
        return read_with_digest(file, limit)
    except DataError as error:
        return str(error)
