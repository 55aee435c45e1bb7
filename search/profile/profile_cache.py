"""Profiles remembered by everything that decides them, so that a second look takes no decoding."""

from __future__ import annotations

import json
import logging
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from archfront.search.profile.data_fingerprint import fingerprint
from archfront.search.profile.dataset_profile import READ, VERSION, DatasetProfile
from archfront.search.profile.gather import Progress
from archfront.search.profile.make_profile import Title, make_profile
from archfront.trainers.data.readers import read_raw
from archfront.trainers.data.ref import DataRef
from archfront.trainers.errors import DataError
from archfront.trainers.files import keep_latest, write_whole

logger = logging.getLogger(__name__)

# Profiles that are kept; the least recently used go first.
KEPT = 200


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
        return profile if (profile.version, profile.fingerprint) == (VERSION, key) else None

    def put(self, profile: DatasetProfile) -> None:
        """Keep a profile under its fingerprint."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_whole(self._file(profile.fingerprint), profile.as_json() + "\n")
            keep_latest(self.folder, KEPT)
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
    if content.get("version") not in READ:
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
