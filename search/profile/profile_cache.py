"""Profiles remembered by everything that decides them, so that a second look takes no decoding."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import PIL

from archfront.search.profile.dataset_profile import VERSION, DatasetProfile
from archfront.search.profile.gather import Progress
from archfront.search.profile.make_profile import Title, make_profile, read_raw
from archfront.trainers.data.images import ImageSource
from archfront.trainers.data.raw import RawData
from archfront.trainers.data.ref import DataRef
from archfront.trainers.data.targets import Mask, digest
from archfront.trainers.errors import DataError
from archfront.trainers.files import write_whole

logger = logging.getLogger(__name__)

# Profiles that are kept; the least recently used go first.
KEPT = 200
# Options of the data that decide nothing of its profile.
INDIFFERENT = ("memory_mb", "on_error", "channels", "shared", "shared_mb", "download")


@dataclass(frozen=True)
class ProfileCache:
    """A folder of profiles, one file of json each.

    Whatever goes wrong with the disk only costs time.
    """

    folder: Path

    def get(self, key: str) -> DatasetProfile | None:
        """Return the profile of a key; None where it is not known or its file is damaged."""
        file = self._file(key)
        try:
            profile = DatasetProfile.from_dict(json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, RecursionError, AttributeError, DataError):
            return None
        with suppress(OSError):
            os.utime(file)
        return profile if profile.fingerprint == key else None

    def put(self, profile: DatasetProfile) -> None:
        """Keep a profile under its fingerprint."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_whole(self._file(profile.fingerprint), profile.as_json() + "\n")
            files = sorted(self.folder.glob("*.json"), key=lambda file: file.stat().st_mtime)
            for file in files[:-KEPT]:
                file.unlink(missing_ok=True)
        except OSError as error:
            logger.warning("The profile cannot be kept in %s: %s", self.folder, error)

    def _file(self, key: str) -> Path:
        return self.folder / f"{key}.json"


def profile_of(
    ref: DataRef, task: str, data: str, cache: ProfileCache, progress: Progress | None = None
) -> DatasetProfile:
    """Return the profile of a dataset, remembered while none of its files changes.

    Args:
        ref: Which data, and how it is divided.
        task: Name of the task.
        data: What the data is called.
        cache: Where profiles are remembered.
        progress: Called with the images done and in total; not at all when it is remembered.

    Raises:
        DataError: If the data is not there, cannot be read, or no image can be used.
    """
    raw = read_raw(ref)
    key = fingerprint(ref, raw)
    known = cache.get(key)
    if known is not None:
        return known
    profile = make_profile(ref, raw, Title(task, data, key), progress)
    cache.put(profile)
    return profile


def known_profile(ref: DataRef, cache: ProfileCache) -> DatasetProfile | None:
    """Return the profile of a dataset if it is remembered; errors as ``profile_of``."""
    return cache.get(fingerprint(ref, read_raw(ref)))


def fingerprint(ref: DataRef, raw: RawData) -> str:
    """Return a hash of what decides a profile: files by size and time, annotations, options."""
    options = {name: value for name, value in asdict(ref).items() if name not in INDIFFERENT}
    if ref.reader != "shapes":
        del options["shapes"]
    content = hashlib.sha256()
    for row in _rows(options, raw):
        content.update(json.dumps(row, default=str).encode())
    return content.hexdigest()[:24]


def _rows(options: dict[str, Any], raw: RawData) -> Iterator[list[Any]]:
    yield [VERSION, PIL.__version__, options, raw.where, raw.class_names]
    for part, samples in raw.parts.items():
        for sample in samples:
            target = sample.target
            if isinstance(target, Mask):
                shown: Any = [_state(target.source), target.values]
            else:
                shown = digest(target)
            yield [part, sample.name, sample.size, _state(sample.source), shown]
    for problem in raw.broken:
        yield [problem.name, problem.reason, problem.detail]


def _state(source: ImageSource | Any) -> Any:
    """Return what tells a source from a changed one; nothing of what the options decide."""
    if isinstance(source, Path):
        try:
            state = os.stat(source)
        except OSError:
            return [str(source)]
        return [str(source), state.st_size, state.st_mtime_ns, state.st_ctime_ns]
    if callable(source):
        return None
    return hashlib.sha256(source.tobytes()).hexdigest()
