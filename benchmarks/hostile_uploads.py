"""Archives that somebody made to do harm, for ``hostile_requests.py``."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator

Make = Callable[[], bytes]
MB = 1 << 20
# A program that leaves a mark where it is run; no file of an archive may be.
PROGRAM = b"#!/bin/sh\ntouch %s\n"


def zip_of(entries: Iterator[tuple[str, bytes]] | list[tuple[str, bytes]]) -> bytes:
    """Return a zip archive of names and contents."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in entries:
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return file.getvalue()


def tar_of(entries: list[tuple[str, bytes]], **values: object) -> bytes:
    """Return a tar archive of names and contents, whose members have more values."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in entries:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            for key, value in values.items():
                setattr(member, key, value)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def zip_link(target: str) -> bytes:
    """Return a zip archive with a link, and a file behind it."""
    file = io.BytesIO()
    entry = zipfile.ZipInfo("out")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(entry, target)
        archive.writestr("out/evil", b"x")
    return file.getvalue()


def tar_link(target: str) -> bytes:
    """Return a tar archive with a link, and a file behind it."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        link = tarfile.TarInfo("out")
        link.type, link.linkname = tarfile.SYMTYPE, target
        archive.addfile(link)
        member = tarfile.TarInfo("out/evil")
        member.size = 1
        archive.addfile(member, io.BytesIO(b"x"))
    return file.getvalue()


def zeros(compressor: bz2.BZ2Compressor | lzma.LZMACompressor | None, n_mb: int) -> bytes:
    """Return a tar archive of one file of zeros, compressed without being held as a whole."""
    member = tarfile.TarInfo("zeros")
    member.size = n_mb * MB
    gz = zlib.compressobj(9, zlib.DEFLATED, 31)
    compress = gz if compressor is None else compressor
    parts = [compress.compress(member.tobuf())]
    parts += [compress.compress(bytes(MB)) for _ in range(n_mb)]
    return b"".join([*parts, compress.flush()])


def overlapping(n_entries: int) -> bytes:
    """Return a zip archive whose entries are all the same 16 MB of zeros.

    Source: Fifield 2019, A better zip bomb, which lets entries overlap.
    """
    whole = bytearray(zip_of([("0000000", bytes(16 * MB))]))
    start = whole.index(b"PK\x01\x02")
    end = whole.index(b"PK\x05\x06")
    row = bytes(whole[start:end])
    rows = b"".join(row.replace(b"0000000", b"%07d" % n) for n in range(n_entries))
    tail = bytearray(whole[end:])
    struct.pack_into("<HHI", tail, 8, n_entries, n_entries, len(rows))
    return bytes(whole[:start]) + rows + bytes(tail)


def long_header(kind: bytes, size: int) -> bytes:
    """Return a tar archive whose header says that another one of so many bytes follows."""
    member = tarfile.TarInfo("x")
    member.type, member.size = kind, size
    return member.tobuf(tarfile.GNU_FORMAT) + bytes(64 * 1024)


def chain(n_headers: int) -> bytes:
    """Return a tar archive of headers that each have another one before the file."""
    member = tarfile.TarInfo("x")
    member.type, member.size = tarfile.GNUTYPE_LONGNAME, 4
    return (member.tobuf(tarfile.GNU_FORMAT) + b"abc\0".ljust(512, b"\0")) * n_headers


def many_names(n: int) -> bytes:
    """Return a zip archive of so many empty files."""
    whole = zip_of([("0000000", b"")])
    start, end = whole.index(b"PK\x01\x02"), whole.index(b"PK\x05\x06")
    name, file, rows = b"0000000", whole[:start], []
    for k in range(n):
        row = bytearray(whole[start:end].replace(name, b"%07d" % k))
        struct.pack_into("<I", row, 42, k * len(file))  # where the file begins
        rows.append(bytes(row))
    files = b"".join(file.replace(name, b"%07d" % k) for k in range(n))
    tail = bytearray(whole[end:])
    count, directory = min(n, 0xFFFF), b"".join(rows)
    struct.pack_into("<HHII", tail, 8, count, count, len(directory), len(files))
    return files + directory + bytes(tail)


def archives(outside: str, mark: str) -> dict[str, Make]:
    """Return what makes each hostile archive, by its kind.

    Args:
        outside: A folder that nothing may be written to; absolute.
        mark: The file that a program in an archive would make.
    """
    program, up = PROGRAM % mark.encode(), "../" * 12 + outside.lstrip("/")
    return {
        "zip: parents in a name": lambda: zip_of([(f"{up}/evil", b"x")]),
        "zip: an absolute name": lambda: zip_of([(f"{outside}/evil", b"x")]),
        "zip: a drive": lambda: zip_of([("C:/evil", b"x")]),
        "zip: backslashes": lambda: zip_of([("..\\..\\evil", b"x")]),
        "zip: a link and a file behind it": lambda: zip_link(outside),
        "zip: a name of control characters": lambda: zip_of([("a\x1b]0;x\x07", b"x")]),
        "zip: a name turned around": lambda: zip_of([("a\u202egnp.sh", program)]),
        "zip: a name of 60,000 letters": lambda: zip_of([("a" * 60_000, b"x")]),
        "zip: 5,000 folders in one another": lambda: zip_of([("a/" * 5000 + "x", b"x")]),
        "zip: one name twice": lambda: zip_of([("a/B", b"1"), ("a/b", b"2")]),
        "zip: a file that is a folder": lambda: zip_of([("a", b"1"), ("a/b", b"2")]),
        "zip: 512 MB of zeros": lambda: zip_of([("zeros", bytes(512 * MB))]),
        "zip: 16 MB 5,000 times in one place": lambda: overlapping(5000),
        "zip: 250,000 names": lambda: many_names(250_000),
        "zip: cut off": lambda: zip_of([("a", bytes(range(256)) * 999)])[:-99],
        "zip: only zeros behind its start": lambda: b"PK\x03\x04" + bytes(5000),
        "tar: parents in a name": lambda: tar_of([(f"{up}/evil", b"x")]),
        "tar: an absolute name": lambda: tar_of([(f"{outside}/evil", b"x")]),
        "tar: a link and a file behind it": lambda: tar_link(outside),
        "tar: a hard link": lambda: tar_of(
            [("a", b"")], type=tarfile.LNKTYPE, linkname="/etc/passwd"
        ),
        "tar: a device": lambda: tar_of([("a", b"")], type=tarfile.BLKTYPE, devmajor=8),
        "tar: a pipe": lambda: tar_of([("a", b"")], type=tarfile.FIFOTYPE),
        "tar: a sparse file of 8 GB": sparse,
        "tar: a name that is no text": lambda: tar_of([("a\udcff", b"x")]),
        "tar: a header of 1 TB": lambda: long_header(tarfile.XHDTYPE, 1 << 40),
        "tar: a name of 1 TB": lambda: long_header(tarfile.GNUTYPE_LONGNAME, 1 << 40),
        "tar: 5,000 headers of one file": lambda: chain(5000),
        "tar.gz: 1 GB of zeros": lambda: zeros(None, 1024),
        "tar.bz2: 256 MB of zeros": lambda: zeros(bz2.BZ2Compressor(1), 256),
        "tar.xz: 512 MB of zeros": lambda: zeros(lzma.LZMACompressor(preset=0), 512),
        "tar.xz: a dictionary of 1.5 GB": lzma_bomb,
        "tar.gz: cut off": lambda: gzip.compress(tar_of([("a", b"x" * 9999)]))[:-12],
        "a program": lambda: program * 50,
        "nothing": lambda: b"",
    }


def lzma_bomb() -> bytes:
    """Return a tar archive in xz that asks for much memory to be read at all."""
    head = bytearray(lzma.compress(tar_of([("a", b"x")]), format=lzma.FORMAT_XZ, preset=6))
    # The size of the dictionary is one byte of the block's header: 37 is 1.5 GB.
    place = head.index(b"\x21\x01") + 2
    head[place] = 37
    start = 12
    size = (head[start] + 1) * 4
    crc = zlib.crc32(bytes(head[start : start + size - 4]))
    struct.pack_into("<I", head, start + size - 4, crc)
    return bytes(head)


def sparse() -> bytes:
    """Return a tar archive with a file of which almost all is a hole."""
    member = tarfile.TarInfo("hole")
    member.type = tarfile.GNUTYPE_SPARSE
    member.size = 512
    block = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    block[386:410] = b"00000000000\x00" + b"00000001000\x00"
    block[483:495] = b"77777777777\x00"
    block[148:156] = b"        "
    block[148:156] = b"%06o\x00 " % sum(block)
    return bytes(block) + bytes(512) + bytes(1024)
