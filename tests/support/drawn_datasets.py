"""The same drawn shapes, written in every format that a reader knows."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from archfront.trainers.data import DataRef
from archfront.trainers.data.readers.shapes import KINDS, Drawn, image_of, mask_of, scene
from archfront.trainers.data.ref import Shapes
from tests.support.drawn_images import REF

SHAPES = Shapes(images=24, side=32, objects_max=2)
NAMES = tuple(KINDS)[: SHAPES.classes]
COLORS = ((0, 0, 0), (200, 0, 0), (0, 200, 0), (200, 200, 0))


def stem(index: int) -> str:
    return f"{index:05d}"


def box_of(item: Drawn) -> tuple[float, float, float, float]:
    (x1, y1), (x2, y2) = item.corners.min(axis=0), item.corners.max(axis=0)
    return float(x1), float(y1), float(x2), float(y2)


def write_images(folder: Path, indices: range | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for index in indices or range(SHAPES.images):
        (folder / f"{stem(index)}.png").write_bytes(drawn_png(index))


@cache
def drawn_png(index: int) -> bytes:
    return png_of(image_of(SHAPES, index))


def png_of(image: Image.Image) -> bytes:
    file = BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def coco_content(indices: range | None = None) -> dict[str, Any]:
    """Return what a COCO file says of some images; category ids begin at 3."""
    images, annotations = [], []
    for index in indices or range(SHAPES.images):
        name = f"{stem(index)}.png"
        images.append({"id": index, "file_name": name, "width": 32, "height": 32})
        for item in scene(SHAPES, index):
            x1, y1, x2, y2 = box_of(item)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": index,
                    "category_id": item.label + 3,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "segmentation": [item.corners.ravel().tolist()],
                    "iscrowd": 0,
                }
            )
    categories = [{"id": label + 3, "name": name} for label, name in enumerate(NAMES)]
    return {"images": images, "annotations": annotations, "categories": categories}


def write_coco(root: Path, content: Mapping[str, Any] | None = None) -> DataRef:
    """Write one file of annotations; ``content`` in place of what is right."""
    write_images(root / "images")
    (root / "all.json").write_text(json.dumps(content or coco_content()))
    named = str(root / "all.json")
    return replace(REF, reader="coco", root=str(root), target="boxes", annotations=named)


def voc_object(name: str, box: tuple[float, ...], extra: str = "") -> str:
    corners = zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    inside = "".join(f"<{key}>{value}</{key}>" for key, value in corners)
    return f"<object><name>{name}</name>{extra}<bndbox>{inside}</bndbox></object>"


def write_xml(file: Path, objects: list[str], *, size: tuple[int, int] = (32, 32)) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    head = f"<size><width>{size[0]}</width><height>{size[1]}</height></size>"
    named = f"<filename>{file.stem}.png</filename>"
    file.write_text(f"<annotation>{named}{head}{''.join(objects)}</annotation>")


def write_voc(root: Path) -> DataRef:
    write_images(root / "JPEGImages")
    for index in range(SHAPES.images):
        objects = []
        for item in scene(SHAPES, index):
            x1, y1, x2, y2 = box_of(item)
            objects.append(voc_object(NAMES[item.label], (x1 + 1, y1 + 1, x2, y2)))
        write_xml(root / "Annotations" / f"{stem(index)}.xml", objects)
    return replace(REF, reader="voc", root=str(root), target="boxes")


def write_yolo(root: Path, *, has_outlines: bool = True) -> DataRef:
    write_images(root / "images")
    (root / "labels").mkdir()
    for index in range(SHAPES.images):
        lines = []
        for item in scene(SHAPES, index):
            values = (item.corners / 32).ravel().tolist()
            if not has_outlines:
                x1, y1, x2, y2 = (value / 32 for value in box_of(item))
                values = [(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1]
            lines.append(" ".join(map(str, [item.label, *values])))
        (root / "labels" / f"{stem(index)}.txt").write_text("\n".join(lines))
    (root / "data.yaml").write_text(yaml.safe_dump({"train": "images", "names": list(NAMES)}))
    return replace(REF, reader="yolo", root=str(root), target="boxes")


@cache
def mask_png(index: int, is_color: bool) -> bytes:
    mask = Image.fromarray(mask_of(SHAPES, index))
    if is_color:
        mask.putpalette([value for color in COLORS for value in color])
        mask = mask.convert("RGB")
    return png_of(mask)


def write_masks(root: Path, *, is_color: bool = False) -> DataRef:
    write_images(root / "images")
    (root / "masks").mkdir()
    for index in range(SHAPES.images):
        (root / "masks" / f"{stem(index)}.png").write_bytes(mask_png(index, is_color))
    ref = replace(REF, reader="masks", root=str(root), target="mask")
    names = ("background", *NAMES)
    if is_color:
        return replace(ref, palette=tuple(zip(names, COLORS, strict=True)))
    return replace(ref, classes=names)


def write_table(root: Path, target: str, *, by_column: bool = False) -> DataRef:
    write_images(root)
    rows: list[list[Any]] = [["path", *(NAMES if by_column else ["label"])]]
    for index in range(SHAPES.images):
        labels = sorted({item.label for item in scene(SHAPES, index)})
        labels = labels if target == "labels" else labels[:1]
        words = [int(label in labels) for label in range(len(NAMES))]
        listed = ["|".join(NAMES[label] for label in labels)]
        rows.append([f"{stem(index)}.png", *(words if by_column else listed)])
    with (root / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return replace(REF, reader="csv", root=str(root), target=target)


def drawn(target: str) -> DataRef:
    return replace(REF, reader="shapes", target=target, shapes=SHAPES)


WRITERS: Mapping[str, Callable[[Path, str], DataRef]] = {
    "shapes": lambda folder, target: drawn(target),
    "csv": write_table,
    "masks": lambda folder, target: write_masks(folder),
    "coco": lambda folder, target: replace(write_coco(folder), target=target),
    "voc": lambda folder, target: write_voc(folder),
    "yolo": lambda folder, target: replace(write_yolo(folder), target=target),
}
