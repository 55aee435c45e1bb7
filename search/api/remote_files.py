"""Files that go to a server, and the exports that come from one."""

from __future__ import annotations

import io
import shutil
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from archfront.search.api.given_images import image_of, image_of_array
from archfront.search.errors import ArtifactError, ConfigError
from archfront.search.predict.manifest import MANIFEST

if TYPE_CHECKING:
    from PIL import Image

# Modes of Pillow that a PNG keeps.
PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")


def image_bytes(image: Any) -> bytes:
    """Return the file of one image: of a path, bytes, a PIL image or a uint8 array.

    Raises:
        ArtifactError: If the file cannot be read.
        ConfigError: If it is none.
    """
    if isinstance(image, bytes):
        return image
    if isinstance(image, str | Path):
        path = Path(image).expanduser()
        _check_file(path, "image")
        return path.read_bytes()
    from PIL import Image

    try:
        if not isinstance(image, Image.Image):
            if not hasattr(image, "__array__"):
                raise TypeError
            image = image_of_array(image)
        _as_png(image).save(file := io.BytesIO(), "png")
    except (TypeError, ValueError, OSError) as error:
        raise ConfigError(
            "images: an image is a path, the bytes of a file, a PIL image or a uint8 array (H, W) "
            f"or (H, W, C); got {type(image).__name__}."
        ) from error
    return file.getvalue()


def _as_png(image: Image.Image) -> Image.Image:
    """Return an image as a PNG holds it: turned as its EXIF says, in a mode that is one of PNG's.

    Raises:
        DataError: If its values have no fixed range.
    """
    from PIL import Image

    from archfront.trainers.data.images import to_pixels, upright

    turned = upright(image)
    if turned.mode == "I":
        return Image.fromarray(np.asarray(turned).clip(0, 65535).astype(np.uint16))
    if turned.mode in PNG_MODES:
        return turned
    return image_of(to_pixels(turned))


def archive_file(archive: str | Path) -> Path:
    """Return the path of an archive to upload.

    Raises:
        ArtifactError: If it is not there, or cannot be read.
    """
    path = Path(archive).expanduser()
    _check_file(path, "archive")
    return path


def _check_file(path: Path, what: str) -> None:
    """Raise an ArtifactError unless a file can be read."""
    if not path.exists():
        raise ArtifactError(
            f"There is no {what} {path} on this machine. Give the path of a file that is here."
        )
    try:
        path.open("rb").close()
    except OSError as error:
        raise ArtifactError(
            f"The {what} {path} cannot be read: {error.strerror}. Give a file that can be read."
        ) from error


def check_folder(folder: Path, *, overwrite: bool) -> None:
    """Raise an ArtifactError unless an export may be unpacked into a folder."""
    if folder.exists() and not folder.is_dir():
        raise ArtifactError(f"{folder} is a file. Give a folder.")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not (folder / MANIFEST).is_file():
        raise ArtifactError(f"{folder} holds other files. Give an empty or a new folder.")
    if not overwrite:
        raise ArtifactError(f"{folder} holds an export. Give another folder, or overwrite=True.")


def unpacked(file: Path, folder: Path) -> Path:
    """Unpack an export into a folder, without the folder that all of it lies in.

    An export that is there is replaced once the new one is whole.

    Raises:
        ArtifactError: If the archive is damaged, a name leads out of the folder, or the folder
            cannot be written.
    """
    part = folder.with_name(f".{folder.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        _unpack(file, part)
        if folder.is_dir():
            shutil.rmtree(folder)
        part.rename(folder)
    # An archive that was cut off, or is of a form that this Python does not read.
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise ArtifactError(
            f"The export that came from the server is damaged ({error}). Ask for it again."
        ) from error
    except OSError as error:
        raise ArtifactError(
            f"The export cannot be written to {folder}: {error.strerror}. Give another folder."
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def _unpack(file: Path, folder: Path) -> None:
    """Write the files of an archive below a folder, without the first folder of their names."""
    with zipfile.ZipFile(file) as archive:
        entries = {entry: Path(entry.filename).parts[1:] for entry in archive.infolist()}
        for parts in entries.values():
            if ".." in parts or not parts:
                raise ArtifactError(f"The export has a name that leads out of it: {parts}.")
        for entry, parts in entries.items():
            target = folder.joinpath(*parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(archive.read(entry))
