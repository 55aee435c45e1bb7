"""The table of readers; importing it imports neither torch nor scikit-learn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from archfront.trainers.data.raw import RawData
from archfront.trainers.data.readers.coco import read_coco
from archfront.trainers.data.readers.csv_table import read_table
from archfront.trainers.data.readers.digits import read_digits
from archfront.trainers.data.readers.folder import read_folder
from archfront.trainers.data.readers.masks import read_masks
from archfront.trainers.data.readers.shapes import read_shapes
from archfront.trainers.data.readers.torchvision_datasets import read_torchvision
from archfront.trainers.data.readers.voc import read_voc
from archfront.trainers.data.readers.yolo import read_yolo
from archfront.trainers.data.ref import DataRef
from archfront.trainers.data.targets import TargetKind
from archfront.trainers.errors import DataError, unknown


@dataclass(frozen=True)
class Reader:
    """A format of datasets.

    Attributes:
        read: Returns everything that it holds.
        gives: The kinds of targets that it can give; ``DataRef.target`` says which one is asked.
        root: What ``DataRef.root`` is, in words; None where there is none.
        options: Which of ``annotations``, ``classes``, ``palette``, ``ignore_index`` it looks at.
    """

    read: Callable[[DataRef], RawData]
    gives: tuple[TargetKind, ...]
    root: str | None = None
    options: tuple[str, ...] = ()


READERS: Mapping[str, Reader] = {
    "digits": Reader(read_digits, ("label",)),
    "shapes": Reader(read_shapes, ("label", "labels", "mask", "boxes", "outlines")),
    "folder": Reader(
        read_folder, ("label",), root="the folder with one folder of images per class"
    ),
    "torchvision": Reader(
        read_torchvision,
        ("label",),
        root="the folder where the dataset lies or is downloaded to",
    ),
    "csv": Reader(
        read_table,
        ("label", "labels"),
        root="the folder of the table and its images",
        options=("annotations",),
    ),
    "masks": Reader(
        read_masks,
        ("mask",),
        root="the folder of images and masks",
        options=("classes", "palette", "ignore_index"),
    ),
    "coco": Reader(
        read_coco,
        ("boxes", "outlines", "mask"),
        root="the folder of annotations and images",
        options=("annotations",),
    ),
    "voc": Reader(read_voc, ("boxes",), root="the folder of Annotations and JPEGImages"),
    "yolo": Reader(
        read_yolo,
        ("boxes", "outlines"),
        root="the folder of data.yaml, or of images and labels",
        options=("annotations", "classes"),
    ),
}


def read_raw(ref: DataRef) -> RawData:
    """Return the images of a dataset as its reader gives them, none of which is decoded.

    Raises:
        DataError: If the data is not there or cannot be read.
    """
    if ref.reader not in READERS:
        raise DataError(str(unknown("data reader", ref.reader, READERS)))
    try:
        return READERS[ref.reader].read(ref)
    except OSError as error:  # as of a folder or a file that this user may not read
        where = error.filename or ref.root
        raise DataError(
            f"data.root {ref.root} cannot be read: {where}: {error.strerror or error}. Let this "
            "user read all of it, or give another folder."
        ) from error


# Fewer classes are nothing to learn: one label of two, one class beside the background, one thing
# to find or to tell of.
CLASSES_MIN: Mapping[TargetKind, int] = {
    "label": 2,
    "labels": 1,
    "mask": 2,
    "boxes": 1,
    "outlines": 1,
}
