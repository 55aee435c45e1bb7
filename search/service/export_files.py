"""The exports of a server: where they lie, and one of them as a stream."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

from archfront.search.errors import RequestError
from archfront.search.service.service_settings import ServiceSettings

# Bytes that are read at a time.
CHUNK = 1 << 16
_ID = re.compile(r"[0-9a-f]{16}")


def export_folder(settings: ServiceSettings, study: str, id: str) -> Path:
    """Return the folder of an export, whether it is there or not.

    Raises:
        RequestError: If the id is none.
    """
    if _ID.fullmatch(id) is None:
        raise no_export(study, id)
    return settings.study_folder(study) / "exports" / id


def no_export(study: str, id: str) -> RequestError:
    """Return the error for an export that is not there."""
    return RequestError(
        404,
        "no_such_export",
        f"The study {study!r} has no finished export {id!r}. "
        f"GET /api/v1/studies/{study}/exports lists them.",
    )


def files_of(folder: Path, format: str | None = None) -> list[Path]:
    """Return the files of an export, or of one of its formats with the texts beside it.

    A link is left out: an export has none, and one that was put there could lead anywhere.
    """
    below = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    own = [file for file in below if file.resolve().is_relative_to(folder.resolve())]
    if format is None:
        return own
    return [file for file in own if file.parent == folder or (folder / format) in file.parents]


def file_name(*parts: str) -> str:
    """Return a name for a download, of letters that every system takes."""
    text = "-".join(re.sub(r"[^A-Za-z0-9._-]+", "_", part) for part in parts if part)
    return text.strip("._-")[:100] or "export"


def zipped(folder: Path, files: list[Path], top: str) -> Iterator[bytes]:
    """Yield files as a zip archive, uncompressed, while they are read.

    Args:
        folder: What the names in the archive are relative to.
        files: The files.
        top: Folder of all of them in the archive.
    """
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for file in files:
            info = zipfile.ZipInfo(f"{top}/{file.relative_to(folder).as_posix()}")
            info.external_attr = 0o644 << 16
            info.file_size = file.stat().st_size
            with archive.open(info, "w") as entry, file.open("rb") as opened:
                while chunk := opened.read(CHUNK):
                    entry.write(chunk)
                    yield sink.taken()
    yield sink.taken()


class _Sink(io.RawIOBase):
    """What a zip archive is written to, which has no way back."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._parts.append(bytes(data))
        return len(data)

    def taken(self) -> bytes:
        """Return what was written since the last call."""
        parts, self._parts = self._parts, []
        return b"".join(parts)
