"""Uploaded archives: what comes out of good ones, and that nothing comes out of hostile ones."""

from __future__ import annotations

import errno
import gzip
import io
import json
import stat
import struct
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from archfront.search.service.archive_names import Names, parts_of
from archfront.search.service.unpack import Limits, Unpacked, unpack
from archfront.trainers.errors import DataError

LIMITS = Limits(n_bytes=1_000_000, n_files=50, free_bytes=0)
Entries = dict[str, bytes]


def zip_of(entries: Entries, how: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", how) as archive:
        for name, content in entries.items():
            archive.writestr(zipfile.ZipInfo(name), content, how)
    return file.getvalue()


def tar_of(entries: Entries, how: str = "w") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=how) as archive:  # type: ignore[call-overload]
        for name, content in entries.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def special(kind: bytes, **values: object) -> bytes:
    """Return a tar archive with one entry that is no file."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        member = tarfile.TarInfo("images/evil")
        member.type = kind
        for name, value in values.items():
            setattr(member, name, value)
        archive.addfile(member)
    return file.getvalue()


def zip_link() -> bytes:
    file = io.BytesIO()
    entry = zipfile.ZipInfo("images/evil")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(entry, "/etc/passwd")
    return file.getvalue()


def encrypted() -> bytes:
    content = bytearray(zip_of({"a.png": b"x"}, zipfile.ZIP_STORED))
    content[6] |= 1
    directory = content.index(b"PK\x01\x02")
    content[directory + 8] |= 1
    return bytes(content)


def lying_size() -> bytes:
    """Return a zip archive whose file says that it has fewer bytes than it has."""
    content = bytearray(zip_of({"a.png": b"x" * 5000}))
    for start in (content.index(b"PK\x03\x04") + 22, content.index(b"PK\x01\x02") + 24):
        struct.pack_into("<I", content, start, 10)
    return bytes(content)


def cut_gz() -> bytes:
    """Return a compressed tar archive of which all files are there and the end is not."""
    content = gzip.compress(tar_of({"a": b"x"}), compresslevel=0)
    return content[:2000]


def opened(tmp_path: Path, content: bytes, limits: Limits = LIMITS) -> tuple[Unpacked, Entries]:
    """Return what was unpacked of an archive, with the files."""
    (tmp_path / "archive").write_bytes(content)
    (folder := tmp_path / "data").mkdir()
    found = unpack(tmp_path / "archive", folder, limits)
    files = [path for path in folder.rglob("*") if path.is_file()]
    return found, {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


FLOWERS = {"flowers/rose/1.png": b"one", "flowers/rose/2.png": b"two", "flowers/tulip/": b""}


def test_a_disk_that_is_full_says_nothing_of_the_archive(tmp_path: Path) -> None:
    """The archive was said to be damaged."""
    (tmp_path / "archive").write_bytes(zip_of({"a.png": b"x" * 5000}))
    (tmp_path / "data").mkdir()
    limited = (
        "import resource, sys; from archfront.search.service import unpack; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); "
        "sys.exit(unpack.main(sys.argv[1:]))"
    )
    words = [str(tmp_path / "archive"), str(tmp_path / "data"), "1000000", "50", "0"]
    done = subprocess.run([sys.executable, "-c", limited, *words], stdout=subprocess.PIPE)
    assert done.returncode == 1
    assert json.loads(done.stdout)["errno"] == errno.EFBIG


@pytest.mark.parametrize(
    "content",
    [zip_of(FLOWERS), *(tar_of(FLOWERS, how) for how in ("w", "w:gz", "w:bz2", "w:xz"))],
    ids=["zip", "tar", "gz", "bz2", "xz"],
)
def test_files_and_folders_come_out(tmp_path: Path, content: bytes) -> None:
    found, files = opened(tmp_path, content)
    assert {name: files[name] for name in list(FLOWERS)[:2]} == dict(list(FLOWERS.items())[:2])
    assert found.top == "flowers"
    assert found.n_bytes == sum(map(len, FLOWERS.values()))


def test_files_of_systems_are_left_out_and_archives_stay_whole(tmp_path: Path) -> None:
    inner = zip_of({"../evil": b"x"})
    entries = {"./a/1.png": b"1", "__MACOSX/a/._1.png": b"", "a/.DS_Store": b"", "b.zip": inner}
    found, files = opened(tmp_path, zip_of(entries))
    assert files == {"a/1.png": b"1", "b.zip": inner}
    assert (found.n_files, found.n_left_out, found.top) == (2, 2, "")


def test_no_file_can_be_run(tmp_path: Path) -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        member = tarfile.TarInfo("run.sh")
        member.mode = 0o6777
        archive.addfile(member)
    opened(tmp_path, file.getvalue())
    mode = (tmp_path / "data/run.sh").stat().st_mode
    assert not mode & (0o111 | stat.S_ISUID | stat.S_ISGID)


HOSTILE: dict[str, tuple[bytes, str]] = {
    "parent": (zip_of({"../evil": b"x"}), "leads out of it"),
    "inner parent": (tar_of({"a/../../evil": b"x"}), "leads out of it"),
    "absolute": (tar_of({"/tmp/evil": b"x"}), "absolute path"),
    "drive": (zip_of({"C:/evil": b"x"}), "absolute path"),
    "backslash": (zip_of({"..\\evil": b"x"}), "backslash"),
    "newline": (tar_of({"a\nb": b"x"}), "control characters"),
    "escape": (zip_of({"a\x1b[2Jb": b"x"}), "control characters"),
    "turned": (zip_of({"a\u202egnp.exe": b"x"}), "control characters"),
    "no UTF-8": (tar_of({"a\udcff": b"x"}), "no text in UTF-8"),
    "long name": (zip_of({"a" * 256: b"x"}), "too long"),
    "long path": (tar_of({"/".join(["a" * 100] * 11): b"x"}), "too long"),
    "deep": (zip_of({"a/" * 41 + "b": b"x"}), "too long"),
    "case": (zip_of({"a/B.png": b"x", "a/b.png": b"y"}), "twice"),
    "unicode": (zip_of({"a/\u00e9.png": b"x", "a/e\u0301.png": b"y"}), "twice"),
    "folders by case": (zip_of({"A/1.png": b"x", "a/2.png": b"y"}), "case of letters"),
    "file in a file": (zip_of({"a": b"x", "a/b": b"y"}), "file and a folder"),
    "folder over a file": (zip_of({"a/b": b"x", "A": b"y"}), "file and a folder"),
    "zip link": (zip_link(), "link or a device"),
    "symbolic link": (special(tarfile.SYMTYPE, linkname="/etc/passwd"), "link or a device"),
    "hard link": (special(tarfile.LNKTYPE, linkname="/etc/passwd"), "link or a device"),
    "device": (special(tarfile.CHRTYPE, devmajor=1, devminor=5), "link or a device"),
    "pipe": (special(tarfile.FIFOTYPE), "link or a device"),
    "bomb": (zip_of({"a": b"\0" * 2_000_000}), "more than 1 MB"),
    "gz bomb": (gzip.compress(tar_of({"a": b"\0" * 2_000_000})), "more than 1 MB"),
    "many files": (zip_of({f"{n}": b"" for n in range(60)}), "more than 50 files"),
    "many folders": (tar_of({f"{n}": b"" for n in range(60)}), "more than 50 files"),
    "encrypted": (encrypted(), "encrypted"),
    "lying size": (lying_size(), "damaged"),
    "cut zip": (zip_of({"a": b"x" * 500})[:-30], "damaged"),
    "cut tar": (tar_of({"a": b"x" * 5000})[:3000], "damaged"),
    "cut gz": (tar_of({"a": bytes(range(256)) * 40}, "w:gz")[:200], "damaged"),
    "cut behind a file": (tar_of({"a": b"x" * 512, "b": b"y" * 512})[:1024], "end is missing"),
    "cut gz behind a file": (cut_gz(), "damaged"),
    "cut xz": (tar_of({"a": bytes(range(256)) * 40}, "w:xz")[:-20], "damaged"),
    "much behind the end": (
        gzip.compress(tar_of({"a": b"x"}) + bytes(11_000_000)),
        "more behind its end",
    ),
    "nothing": (b"", "neither a zip"),
    "empty zip": (zip_of({}), "has no file"),
    "only a folder": (zip_of({"a/": b""}), "has no file"),
    "a picture": (b"\x89PNG\r\n\x1a\n" * 100, "neither a zip"),
    "rar": (b"Rar!\x1a\x07\x00" * 100, "neither a zip"),
    "huge header": (
        special(tarfile.XHDTYPE, size=1 << 40),
        "damaged|memory",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_one_clear_error(tmp_path: Path, name: str) -> None:
    content, reason = HOSTILE[name]
    before = set(tmp_path.parent.iterdir())
    with pytest.raises(DataError, match=reason) as caught:
        opened(tmp_path, content)
    assert "\n" not in str(caught.value)
    outside = [p for p in tmp_path.rglob("*") if "data" not in p.parts and p.name != "archive"]
    assert outside == []
    assert set(tmp_path.parent.iterdir()) == before


def test_a_full_disk_is_told_while_it_fills(tmp_path: Path) -> None:
    limits = Limits(n_bytes=10**6, n_files=9, free_bytes=1 << 62)
    with pytest.raises(DataError, match="disk of the server has no room"):
        opened(tmp_path, zip_of({"a": b"x"}), limits)


@pytest.mark.parametrize("name", ["a/b.png", "./a//b.png", "a/./b.png"])
def test_a_name_is_its_folders(name: str) -> None:
    assert parts_of(name) == ("a", "b.png")


def test_a_folder_may_come_again() -> None:
    names = Names()
    for _ in range(2):
        names.add(("a", "b"), is_folder=True)
    names.add(("a", "b", "c"), is_folder=False)
    with pytest.raises(DataError, match="twice"):
        names.add(("a", "b", "C"), is_folder=False)


def test_it_runs_in_a_process_of_little_memory(tmp_path: Path) -> None:
    module = "archfront.search.service.unpack"
    for content, status in ((zip_of(FLOWERS), 0), (HOSTILE["parent"][0], 1)):
        (tmp_path / "archive").write_bytes(content)
        folder = tmp_path / f"data{status}"
        folder.mkdir()
        words = [str(tmp_path / "archive"), str(folder), "1000", "9", "0"]
        done = subprocess.run(
            [sys.executable, "-P", "-m", module, *words], capture_output=True, check=False
        )
        assert (done.returncode, done.stderr) == (status, b"")
        assert json.loads(done.stdout).keys() >= ({"problem"} if status else {"n_files", "top"})
