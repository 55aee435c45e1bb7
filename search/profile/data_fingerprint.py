"""The fingerprint of a dataset: a hash of what decides its profile, for which no image is read."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Generator, Iterable, Iterator
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archfront.search.profile.dataset_profile import VERSION

if TYPE_CHECKING:
    from archfront.trainers.data.ref import DataRef

# Options of the data that decide nothing of its profile.
INDIFFERENT = (
    *("memory_mb", "on_error", "channels", "shared", "shared_mb", "download"),
    *("tiles", "tile_overlap"),
)


def fingerprint(ref: DataRef) -> str:
    """Return a hash of what decides a profile: the options of the data and all files below it.

    Files are told apart by name, size and times, so that none is read and no annotation parsed.
    Where images may lie elsewhere, through links or by absolute names, they are looked up.

    Raises:
        DataError: As ``read_raw``, where the images have to be looked up.
    """
    return hashed(deciding(ref), _files(ref))


def hashed(options: Any, files: Iterable[list[Any]]) -> str:
    """Return the hash of options and of the states of files."""
    content = hashlib.sha256(json.dumps(options).encode())
    for row in files:
        content.update(json.dumps(row).encode())
    return content.hexdigest()[:24]


def deciding(ref: DataRef) -> list[Any]:
    """Return the options that decide a profile, after the versions that do, as plain content."""
    options = {name: value for name, value in asdict(ref).items() if name not in INDIFFERENT}
    if ref.reader != "shapes":
        del options["shapes"]
    plain: list[Any] = json.loads(json.dumps([VERSION, decoders(ref.reader), options]))
    return plain


def decoders(reader: str) -> list[str]:
    """Return the versions of what decodes the images of a reader."""
    import PIL

    return [PIL.__version__, *([version("scikit-learn")] if reader == "digits" else [])]


def _files(ref: DataRef) -> Iterator[list[Any]]:
    """Yield name, size and times of every file that the data may be read from."""
    if ref.root is None:
        return
    has_links = yield from files_at(ref.root, ref.annotations)
    if has_links or ref.outside_root == "allow":
        from archfront.trainers.data.readers import read_raw
        from archfront.trainers.data.targets import Mask

        for samples in read_raw(ref).parts.values():
            for sample in samples:
                if isinstance(sample.source, Path):
                    yield _state(str(sample.source))
                if isinstance(sample.target, Mask) and isinstance(sample.target.source, Path):
                    yield _state(str(sample.target.source))


def files_at(root: str, annotations: str | None) -> Generator[list[Any], None, bool]:
    """Yield the files of a dataset and return whether some lie behind links to folders."""
    has_links = yield from _below(str(Path(root).expanduser()))
    if annotations is not None:
        yield _state(annotations)
    return has_links


def _below(folder: str) -> Generator[list[Any], None, bool]:
    """Yield the files below a folder in order and return whether links to folders are left out."""
    has_links = False
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:  # the reader says what is wrong with it
        return has_links
    for entry in entries:
        if not entry.is_dir():
            yield _state(entry.path)
        elif entry.is_symlink() or (yield from _below(entry.path)):
            has_links = True
    return has_links


def _state(path: str) -> list[Any]:
    try:
        state = os.stat(path)
    except OSError:
        return [path]
    return [path, state.st_size, state.st_mtime_ns, state.st_ctime_ns]
