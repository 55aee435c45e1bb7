"""Images, data sets and configurations that somebody made to do harm, for ``hostile.py``."""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

from hostile_exports import link, sparse
from PIL import Image

Make = Callable[[Path], None]
HUGE = 13_300


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(side: int, *, bits: int = 1, color: int = 0, extra: bytes = b"") -> bytes:
    """Return a black PNG file of any size, without its pixels in memory."""
    channels = {0: 1, 2: 3, 3: 1, 6: 4}[color]
    packer, row = zlib.compressobj(9), bytes(1 + (side * bits * channels + 7) // 8)
    rows = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    head = struct.pack(">IIBBBBB", side, side, bits, color, 0, 0, 0)
    palette = chunk(b"PLTE", bytes(6)) if color == 3 else b""
    parts = chunk(b"IHDR", head) + palette + extra + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def saved(kind: str, side: int = 16, **options: object) -> bytes:
    buffer = BytesIO()
    Image.new("L", (side, side)).save(buffer, kind, **options)
    return buffer.getvalue()


def holding(content: bytes) -> Make:
    return drawn(lambda: content)


def drawn(content: Callable[[], bytes]) -> Make:
    """Return what writes a file whose bytes are drawn only then: gigabytes are compressed."""

    def make(file: Path) -> None:
        file.write_bytes(content())

    return make


def images(marker: Path) -> dict[str, Make]:
    """Return what writes each image by its name; all of them are called ``*.png``."""
    script = f"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n({marker}) (w) file closefile\n"

    def packed(kind: bytes) -> bytes:
        return chunk(kind, b"k\0\0" + zlib.compress(bytes(10**9), 9))

    return {
        "a pipe": os.mkfifo,
        "/dev/zero": link("/dev/zero"),
        "/dev/random": link("/dev/random"),
        "a link to itself": lambda file: file.symlink_to(file),
        "a folder": lambda file: file.mkdir(),
        "100 GB of nothing": sparse,
        "bits of 13,300 px": drawn(lambda: png(HUGE)),
        "grey of 13,300 px": drawn(lambda: png(HUGE, bits=8)),
        "color of 13,300 px": drawn(lambda: png(HUGE, bits=8, color=2)),
        "a palette of 13,300 px": drawn(lambda: png(HUGE, bits=1, color=3)),
        "grey of 16 bits of 13,300 px": drawn(lambda: png(HUGE, bits=16)),
        "color with alpha of 8,900 px": drawn(lambda: png(8900, bits=8, color=6)),
        "a text of 1 GB": drawn(lambda: png(8, extra=packed(b"zTXt"))),
        "a profile of 1 GB": drawn(lambda: png(8, extra=packed(b"iCCP"))),
        "PostScript": holding(script.encode()),
        "a PDF": holding(b"%PDF-1.4\n" + bytes(100)),
        "a PSD of 30,000 px": holding(
            b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 30_000, 30_000, 8, 3) + bytes(64)
        ),
        "a GIF of 65,535 px": holding(
            b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\2\0;"
        ),
        "a PPM of 10^9 px": holding(b"P6 1000000000 1000000000 255\n"),
        "a BMP of a negative size": holding(
            b"BM"
            + struct.pack("<IIIIiiHHIIIIII", 99, 0, 54, 40, -9, -(2**31), 1, 24, 0, 0, 0, 0, 0, 0)
        ),
        "a TIFF with 2^31 tags": holding(
            b"II*\0\10\0\0\0\1\0" + struct.pack("<HHII", 256, 4, 2**31 - 1, 8) + bytes(4)
        ),
        "a JPEG of 65,500 px": holding(
            saved("JPEG").replace(struct.pack(">HH", 16, 16), struct.pack(">HH", 65500, 65500), 1)
        ),
        "a WebP that is cut off": holding(saved("WEBP")[:40]),
    }


def bomb() -> str:
    """Return YAML of nine lines whose aliases stand for 10^9 values."""
    lines = ["a0: &a0 [" + ", ".join("x" * 10) + "]"]
    return "\n".join(
        lines + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    )


def texts(secret: Path) -> dict[str, dict[str, Make]]:
    """Return what writes each file of annotations, by reader and name."""
    entity = f'<!DOCTYPE a [<!ENTITY s SYSTEM "file://{secret}">]><a><object><name>&s;</name></object></a>'
    laughs = "".join(f'<!ENTITY b{n} "{f"&b{n - 1};" * 10}">' for n in range(1, 10))
    laughing = (
        f'<!DOCTYPE a [<!ENTITY b0 "xxxx">{laughs}]><a><object><name>&b9;</name></object></a>'
    )
    one = {"images": [{"id": 1, "file_name": "0.png"}], "categories": [{"id": 1, "name": "c"}]}
    many = {
        **one,
        "annotations": [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 1e308, 1e308]}],
    }
    outside = {**many, "images": [{"id": 1, "file_name": str(secret)}]}
    run = {"size": [10**6, 10**6], "counts": [10**12]}
    masks = {
        **one,
        "annotations": [
            {"image_id": 1, "category_id": 1, "bbox": [0, 0, 4, 4], "segmentation": run}
        ],
    }
    yaml: dict[str, Make] = {
        "aliases of aliases": holding(f"train: images\nnames: [c]\n{bomb()}\n".encode()),
        "an alias to itself": holding(b"train: images\nnames: &a [*a]\n"),
        "an object": holding(b"train: !!python/object/apply:os.system ['touch x']\n"),
        "deep": holding(b"names: " + b"[" * 500_000),
        "a list of 900 kB": holding(b"train: images\nnames: [" + b"a," * 450_000 + b"]\n"),
        "a pipe": os.mkfifo,
        "/dev/zero": link("/dev/zero"),
        "100 GB of nothing": sparse,
        "images of the whole machine": holding(b"train: /\nnames: [c]\n"),
    }
    return {
        "yolo data.yaml": yaml,
        "coco labels.json": {
            "deep": holding(b"[" * 1_000_000),
            "boxes of 10^308": holding(json.dumps(many).encode()),
            "an image elsewhere": holding(json.dumps(outside).encode()),
            "an outline of 10^12 px": holding(json.dumps(masks).encode()),
            "a number of 10^6 digits": holding(b'{"images": ' + b"9" * 10**6 + b"}"),
            "100 GB of nothing": sparse,
            "/dev/zero": link("/dev/zero"),
        },
        "csv labels.csv": {
            "a cell of 10 MB": holding(b'path,label\n0.png,"' + b"x" * 10**7 + b'"\n'),
            "an image elsewhere": holding(f"path,label\n{secret},c\n0.png,d\n".encode()),
            "100 GB of nothing": sparse,
        },
        "voc 0.xml": {
            "a secret as entity": holding(entity.encode()),
            "entities of entities": holding(laughing.encode()),
            "deep": holding(b"<a>" * 1_000_000),
            "an unknown encoding": holding(b'<?xml version="1.0" encoding="x-evil"?><a/>'),
        },
    }


def configurations() -> dict[str, Make]:
    """Return what writes each file of options."""
    return {
        "aliases of aliases": holding(bomb().encode()),
        "a pipe": os.mkfifo,
        "/dev/zero": link("/dev/zero"),
        "100 GB of nothing": sparse,
        "deep": holding(b"a: " + b"[" * 500_000),
        "an object": holding(b"a: !!python/object/apply:os.system ['touch x']\n"),
        "a value of 900 kB": holding(b"seed: '" + b"x" * 900_000 + b"'\n"),
        "a target of Hydra": holding(b"_target_: os.system\nseed: {_target_: os.system}\n"),
    }
