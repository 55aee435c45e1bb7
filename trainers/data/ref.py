"""Which data to load, as one plain record that any process can load it from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from archfront.trainers.data.image_files import MAX_PIXELS, WHOLE_RANGE, PixelLimit, ValueRange
from archfront.trainers.data.targets import TargetKind

# Between the labels of an image in a table; a word where the character itself is hard to see.
Delimiter = Literal["|", ";", ",", "space"]


@dataclass(frozen=True, kw_only=True)
class Shapes:
    """Settings of the images drawn for ``shapes``.

    Attributes:
        images: How many.
        side: Of each image, in px.
        classes: Kinds of shapes, the first of ``trainers.data.readers.shapes.KINDS``.
        objects_min: Fewest in an image.
        objects_max: Most in an image.
        share_min: Diameter of the smallest, as a share of the side.
        share_max: The same of the largest.
        imbalance: How often the first class is drawn for each time that the last is.
        overlap: Whether a shape may hide up to half of another.
        seed: Decides everything that is drawn.
    """

    images: int = 300
    side: int = 64
    classes: int = 3
    objects_min: int = 1
    objects_max: int = 3
    share_min: float = 0.2
    share_max: float = 0.45
    imbalance: float = 1.0
    overlap: bool = False
    seed: int = 0


@dataclass(frozen=True)
class DataRef:
    """Everything that decides which images and labels a study sees.

    Splits that the data itself has are used as they are; ``train``, ``val`` and ``test`` say how
    to split the rest.

    Attributes:
        reader: Key of ``trainers.data.READERS``.
        root: Folder of the images, or where torchvision keeps its files.
        name: Class name of a torchvision dataset, such as ``FashionMNIST``.
        download: Whether torchvision may fetch what is not there.
        train: Share in (0, 1) or count from 1 of the training split.
        val: The same of the validation split.
        test: The same of the test split; 0 for none.
        split_seed: Seed of the split.
        group: Pattern in the names of images that stay in one split; None for none.
        channels: 1 or 3; None for 1 when every image is grey, else 3.
        on_error: ``stop`` at broken images, annotations and classes, or ``skip`` and name them.
        memory_mb: Pixels kept in memory by one process, in 10^6 bytes; what does not fit is read
            from its file each time.
        target: What the task learns from; one of what the reader gives.
        annotations: File of the annotations; None for where the format has it.
        classes: Class names in the order of their numbers, for formats that do not name them.
        palette: Class names with the value ``(v,)`` or color ``(r, g, b)`` that shows them in a
            mask; what is called ``ignored`` does not count.
        ignore_index: Value of the pixels in a mask that do not count.
        delimiter: Between the labels of an image in a table.
        outside_root: Whether images that annotations name may lie outside of the root.
        max_pixels: Width times height of the largest image that is read.
        value_range: Of images with 16 bits a pixel, the values that become 0 and 255; None for
            what the images use.
        shapes: What is drawn.
        tiles: Side of the tiles that images are cut into, in px of the image; ``auto`` for what
            fits images and objects, None for whole images.
        tile_overlap: Share of its side that a tile has in common with the next one.
        fold: Which fold of how many is validated, of the images of train and val; None for the
            splits themselves.
        shared: Folder in which the processes of this machine share decoded images; None for none.
        shared_mb: What that folder may take, in 10^6 bytes.
    """

    reader: str
    root: str | None
    name: str | None
    download: bool
    train: float
    val: float
    test: float
    split_seed: int
    channels: int | None
    on_error: Literal["stop", "skip"]
    memory_mb: float
    target: TargetKind = "label"
    annotations: str | None = None
    classes: tuple[str, ...] | None = None
    palette: tuple[tuple[str, tuple[int, ...]], ...] = ()
    ignore_index: int | None = None
    delimiter: Delimiter = "|"
    outside_root: Literal["forbid", "allow"] = "forbid"
    max_pixels: int = MAX_PIXELS
    value_range: ValueRange | None = None
    shapes: Shapes = Shapes()
    group: str | None = None
    tiles: int | Literal["auto"] | None = None
    tile_overlap: float = 0.2
    fold: tuple[int, int] | None = None
    shared: str | None = None
    shared_mb: float = 0.0

    @property
    def pixel_limit(self) -> PixelLimit:
        """Return how images are read, with the range of values that is asked for.

        Labels of whole images allow to shrink them.
        """
        return PixelLimit(
            self.max_pixels,
            shrinks=self.target in ("label", "labels"),
            value_range=self.value_range or WHOLE_RANGE,
        )
