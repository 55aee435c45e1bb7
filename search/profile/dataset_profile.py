"""The record of a dataset's profile, with its version and one codec.

Counts are of the images that can be decoded. Pixel statistics are those of images of at most
``ANALYZED_PX`` on their longer side; larger ones are shrunk by a whole factor first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from archfront.search.errors import DataError
from archfront.search.profile.distribution import Distribution
from archfront.search.profile.faults import Examples, Fault
from archfront.search.records.codec import decode, encode
from archfront.trainers.dataset_summary import Symmetries

# Of the form of the record and of how its numbers are computed; another one is computed anew.
VERSION = 6
# Versions whose form fits this one, in which profiles beside the records of studies may be.
READ = range(2, VERSION + 1)
# The share of a class's images that adds nothing new falls with this (Cui et al. 2019, table 1).
BETA = 0.9999
# Cells along each side of the map of the places of objects.
PLACES = 16
Counted = Literal["images", "objects", "pixels"]


@dataclass(frozen=True)
class SplitProfile:
    """One split.

    Attributes:
        images: Its images.
        without_objects: Images of them that show no class.
        per_class: What it shows of each class: images, objects or pixels.
        images_per_class: Images that show each class.
    """

    images: int
    without_objects: int
    per_class: dict[str, int]
    images_per_class: dict[str, int]


@dataclass(frozen=True)
class Balance:
    """How evenly the classes are shown, over all splits.

    Attributes:
        imbalance: What is shown of the most common class over that of the least common one that
            is shown at all; 1 for a single class.
        least: Name of that least common class.
        most: Name of the most common class.
        evenness: Entropy of the classes' shares over that of equal shares; 1 for one class.
        effective: Effective number of images of each class in the training split,
            (1 - beta^n) / (1 - beta). Source: Cui et al. 2019, equation 2.
    """

    imbalance: float
    least: str
    most: str
    evenness: float
    effective: dict[str, float]


@dataclass(frozen=True)
class ImageProfile:
    """The images.

    Attributes:
        width: In pixels, after EXIF rotation.
        height: The same.
        longer_side: The larger of both.
        aspect: Width over height.
        grey_share: Share of the images whose channels are equal everywhere.
        channels: 1 when every image is grey, else 3.
        bit_depths: Images by the bits of one channel in their file.
        formats: Images by the format of their file.
        mean: Per channel (red, green, blue), for values 0..1.
        std: The same, over all pixels of all images, each image weighing the same.
        entropy: Entropy of an image's grey values, in bits of at most 8.
        edge_density: Share of an image's pixels at which the grey value changes steeply.
        bits_per_pixel: Size of the file in bits over the pixels; without images from files empty.
    """

    width: Distribution
    height: Distribution
    longer_side: Distribution
    aspect: Distribution
    grey_share: float
    channels: int
    bit_depths: dict[str, int]
    formats: dict[str, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    entropy: Distribution
    edge_density: Distribution
    bits_per_pixel: Distribution


@dataclass(frozen=True)
class ObjectsAtSize:
    """How large objects are in a network's finest map.

    Attributes:
        input_size: Side of the network's input, in pixels.
        stride: Of the finest map that a head of the space can use.
        p10: Quantile at 10 % of the root of an object's area, in cells of that map.
        p50: The median of the same.
        p90: The quantile at 90 % of the same.
        under_a_cell: Share of the objects that are smaller than a cell.
    """

    input_size: int
    stride: int
    p10: float
    p50: float
    p90: float
    under_a_cell: float


@dataclass(frozen=True)
class ObjectProfile:
    """The objects of detection and instance segmentation; crowds do not count.

    Attributes:
        per_image: Objects of an image.
        side_px: Root of the area of an object's box, in pixels.
        side_share: The same over the longer side of its image.
        aspect: Width over height of a box.
        overlap_share: Share of objects whose box has an IoU above 0.3 with another of its image.
        truncated_share: Share of objects whose box touches the border of its image.
        crowds: Groups that do not count.
        side_share_per_class: Median of ``side_share`` by class, of classes that have objects.
        pixel_share: Share of all pixels that each class's outlines cover, overlaps counted
            twice; none without outlines.
        places: Objects by the place of their center, rows from the top, ``PLACES`` a side.
        at_sizes: How large they are at the input sizes of a space; none without a space.
        boundary_density: Share of an image's pixels beside a pixel of another object or of the
            ground; of nothing without outlines.
    """

    per_image: Distribution
    side_px: Distribution
    side_share: Distribution
    aspect: Distribution
    overlap_share: float
    truncated_share: float
    crowds: int
    side_share_per_class: dict[str, float]
    places: tuple[tuple[int, ...], ...]
    at_sizes: tuple[ObjectsAtSize, ...] = ()
    pixel_share: dict[str, float] = field(default_factory=dict)
    boundary_density: Distribution = field(default_factory=Distribution)

    def at(self, input_size: int, stride: int, tile: int | None = None) -> ObjectsAtSize:
        """Return the sizes in cells of a map, for an image, or a tile, that fills the input.

        Args:
            input_size: Side of the network's input, in pixels.
            stride: Of the map.
            tile: Side of the tiles that images are cut into, in pixels; None for whole images.
        """
        numbers = self.side_share if tile is None else self.side_px
        cells = input_size / stride / (tile or 1)
        return ObjectsAtSize(
            input_size,
            stride,
            numbers.p10 * cells,
            numbers.p50 * cells,
            numbers.p90 * cells,
            numbers.share_below(1 / cells),
        )


@dataclass(frozen=True)
class MaskProfile:
    """The masks of semantic segmentation.

    Attributes:
        pixel_share: Share of each class in the pixels that count.
        ignored_share: Share of the pixels that do not count.
        boundary_density: Share of an image's pixels beside a pixel of another class.
        classes_per_image: Classes that an image shows.
    """

    pixel_share: dict[str, float]
    ignored_share: float
    boundary_density: Distribution
    classes_per_image: Distribution


@dataclass(frozen=True)
class DatasetProfile:
    """What is known of a dataset before anything is trained on it.

    Attributes:
        version: Of the form of this record.
        task: Name of the task.
        data: What the data is called.
        fingerprint: Hash over files, annotations and options of the data.
        class_names: Names by label.
        counted: What the numbers per class are of.
        division: How the splits come about, for people.
        splits: By name: ``train``, ``val`` and, where there is one, ``test``.
        balance: How evenly the classes are shown.
        images: The images.
        objects: The objects; None of tasks without any.
        masks: The masks; None of tasks without any.
        symmetries: How well flips of the training images are told; None of too few images.
        faults: What is wrong, the worst first.
        examples: Images to look at.
    """

    version: int
    task: str
    data: str
    fingerprint: str
    class_names: tuple[str, ...]
    counted: Counted
    division: str
    splits: dict[str, SplitProfile]
    balance: Balance
    images: ImageProfile
    objects: ObjectProfile | None = None
    masks: MaskProfile | None = None
    symmetries: Symmetries | None = None
    faults: tuple[Fault, ...] = ()
    examples: Examples = field(default_factory=Examples)

    @property
    def n_classes(self) -> int:
        """Return the number of classes."""
        return len(self.class_names)

    @property
    def n_images(self) -> int:
        """Return the images of all splits."""
        return sum(split.images for split in self.splits.values())

    def meta_features(self) -> dict[str, float]:
        """Return numbers that describe the dataset to a choice of architecture, by name."""
        images, shown = self.images, self.objects
        found = {
            "n_classes": float(self.n_classes),
            **{f"n_{name}": float(split.images) for name, split in self.splits.items()},
            "imbalance": self.balance.imbalance,
            "evenness": self.balance.evenness,
            "effective_min": min(self.balance.effective.values(), default=0.0),
            "longer_side_p50": images.longer_side.p50,
            "longer_side_p90": images.longer_side.p90,
            "aspect_p50": images.aspect.p50,
            "channels": float(images.channels),
            "entropy_p50": images.entropy.p50,
            "edge_density_p50": images.edge_density.p50,
            "bits_per_pixel_p50": images.bits_per_pixel.p50,
            "n_faults": float(len(self.faults)),
        }
        if shown is not None:
            found |= {
                "objects_per_image_p50": shown.per_image.p50,
                "objects_per_image_p99": shown.per_image.p99,
                "object_side_px_p50": shown.side_px.p50,
                "object_side_share_p10": shown.side_share.p10,
                "object_side_share_p50": shown.side_share.p50,
                "object_side_share_p90": shown.side_share.p90,
                "overlap_share": shown.overlap_share,
                "truncated_share": shown.truncated_share,
            }
            if shown.boundary_density.n:
                found["boundary_density_p50"] = shown.boundary_density.p50
        if self.masks is not None:
            found["boundary_density_p50"] = self.masks.boundary_density.p50
        return found

    @cached_property
    def per_class(self) -> dict[str, int]:
        """Return what all splits together show of each class."""
        parts = [split.per_class for split in self.splits.values()]
        return {name: sum(part.get(name, 0) for part in parts) for name in self.class_names}

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON content; ``from_dict`` gives the equal record back."""
        content: dict[str, Any] = encode(self)
        return content

    def as_json(self) -> str:
        """Return canonical JSON: equal records give equal text."""
        return json.dumps(self.as_dict(), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> DatasetProfile:
        """Return the record whose ``as_dict`` some content is.

        Raises:
            DataError: If it is of another version, or does not fit.
        """
        version = content.get("version")
        if version not in READ:
            raise DataError(
                f"The profile has version {version!r}; this archfront reads version {VERSION}. "
                "Make it again: archfront profile data.root=FOLDER."
            )
        try:
            return decode(cls, dict(content))
        except ValueError as error:
            raise DataError(f"The profile cannot be read: {error}.") from error
