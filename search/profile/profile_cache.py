"""Profiles remembered by everything that decides them, so that a second look takes no decoding."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import PIL

from archfront.search.profile.dataset_profile import VERSION, DatasetProfile
from archfront.search.profile.gather import Progress
from archfront.search.profile.make_profile import Title, make_profile, read_raw
from archfront.trainers.data.ref import DataRef
from archfront.trainers.data.targets import Mask
from archfront.trainers.errors import DataError
from archfront.trainers.files import write_whole

logger = logging.getLogger(__name__)

# Profiles that are kept; the least recently used go first.
KEPT = 200
# Options of the data that decide nothing of its profile.
INDIFFERENT = (
    *("memory_mb", "on_error", "channels", "shared", "shared_mb", "download"),
    *("tiles", "tile_overlap"),
)


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


def read_profile(file: Path) -> DatasetProfile | None:
    """Return the profile in a file; None where there is no file, or one of another version.

    Raises:
        DataError: If it is no profile.
    """
    if not file.is_file():
        return None
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{file} cannot be read ({error}). Remove it.") from error
    if not isinstance(content, dict):
        raise DataError(f"{file} holds no profile. Remove it.")
    if content.get("version") != VERSION:
        return None
    return DatasetProfile.from_dict(content)


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
    key = fingerprint(ref)
    known = cache.get(key)
    if known is not None:
        return known
    profile = make_profile(ref, read_raw(ref), Title(task, data, key), progress)
    cache.put(profile)
    return profile


def fingerprint(ref: DataRef) -> str:
    """Return a hash of what decides a profile: the options of the data and all files below it.

    Files are told apart by name, size and times, so that none is read and no annotation parsed.
    Where images may lie elsewhere, through links or by absolute names, they are looked up.

    Raises:
        DataError: As ``read_raw``, where the images have to be looked up.
    """
    options = {name: value for name, value in asdict(ref).items() if name not in INDIFFERENT}
    if ref.reader != "shapes":
        del options["shapes"]
    decoders = [PIL.__version__]
    if ref.reader == "digits":
        decoders.append(version("scikit-learn"))
    content = hashlib.sha256(json.dumps([VERSION, decoders, options]).encode())
    for row in _files(ref):
        content.update(json.dumps(row).encode())
    return content.hexdigest()[:24]


def _files(ref: DataRef) -> Iterator[list[Any]]:
    """Yield name, size and times of every file that the data may be read from."""
    if ref.root is None:
        return
    root = Path(ref.root).expanduser()
    has_links = yield from _below(root)
    if ref.annotations is not None:
        yield _state(ref.annotations)
    if has_links or ref.outside_root == "allow":
        for samples in read_raw(ref).parts.values():
            for sample in samples:
                if isinstance(sample.source, Path):
                    yield _state(str(sample.source))
                if isinstance(sample.target, Mask) and isinstance(sample.target.source, Path):
                    yield _state(str(sample.target.source))


def _below(folder: Path) -> Generator[list[Any], None, bool]:
    """Yield the files below a folder in order and return whether links to folders are left out."""
    has_links = False
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:  # the reader says what is wrong with it
        return has_links
    for entry in entries:
        if not entry.is_dir():
            yield _state(entry.path)
        elif entry.is_symlink() or (yield from _below(Path(entry.path))):
            has_links = True
    return has_links


def _state(path: str) -> list[Any]:
    try:
        state = os.stat(path)
    except OSError:
        return [path]
    return [path, state.st_size, state.st_mtime_ns, state.st_ctime_ns]
