"""The summary of a dataset: what a report says about it, and what tells it from another one."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

# Name of the longer sides among the sizes of images.
LONGER_SIDE = "longer side"
# What is counted per class where every pixel has one.
PIXELS = "pixels"


@dataclass(frozen=True)
class Spread:
    """The smallest, the middle and the largest of some numbers."""

    min: int | float
    median: int | float
    max: int | float


@dataclass(frozen=True)
class SplitSummary:
    """One split: its images, and what they show of each class."""

    images: int
    per_class: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class SideShare:
    """Percentiles of the root of a box's area over the longer side of its image."""

    p10: float
    median: float
    p90: float


@dataclass(frozen=True)
class ObjectSummary:
    """How many objects an image has, and how large they are; groups do not count.

    Attributes:
        per_image: Objects of an image.
        side_share: Sizes of the objects.
        crowd: Objects of a crowded image, the quantile at 99 %; None where that is not known.
    """

    per_image: Spread
    side_share: SideShare
    crowd: float | None = None


@dataclass(frozen=True)
class TileSummary:
    """The tiles of a dataset's images, which networks see in the place of images.

    Attributes:
        size: Side of a tile in pixels of the image.
        overlap: Share that a tile has in common with the next one, at least.
        per_image: How many tiles an image has.
        splits: Tiles of each split: of ``train`` those to learn from, else all.
        longer_side: Of the tiles, in pixels.
        objects: Of the tiles to learn from; sizes are those of whole objects.
        merge_ms: Milliseconds in which the answers for the tiles of an image are put together.
    """

    size: int
    overlap: float
    per_image: Spread
    splits: dict[str, int]
    longer_side: Spread
    objects: ObjectSummary | None = None
    merge_ms: float = 0.0


@dataclass(frozen=True)
class SkippedExample:
    """The name of a file or class that was left out, and what is wrong with it."""

    name: str
    detail: str


@dataclass(frozen=True)
class SkippedSummary:
    """What was left out, or is worth a note, for one reason.

    Attributes:
        count: How many.
        examples: The first ones.
        is_note: Whether nothing was left out.
    """

    count: int
    examples: tuple[SkippedExample, ...] = ()
    is_note: bool = False


@dataclass(frozen=True)
class DataWarning:
    """Something about a dataset that looks wrong and stops nothing.

    Attributes:
        check: Name of the check that found it.
        text: What looks wrong and what to do, as a sentence.
    """

    check: str
    text: str


@dataclass(frozen=True)
class Told:
    """How well one flip of the images is told from the images themselves.

    Attributes:
        right: Share of the images that are told from their flipped copies; 0.5 is chance.
        of_class: The same of each class with enough images.
    """

    right: float
    of_class: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Symmetries:
    """How well the flips of a square are told, of which all others are made.

    Attributes:
        n_images: Training images, or objects in them, that were compared.
        n_of_class: The same of each class with enough images.
        mirrored: Left and right exchanged.
        upside_down: Top and bottom exchanged.
        transposed: Rows and columns exchanged: mirrored and turned by a quarter.
        class_right: Share of the images whose class the same classifier tells; None of one class.
        class_chance: Share of the commonest class.
    """

    n_images: int
    n_of_class: dict[str, int]
    mirrored: Told
    upside_down: Told
    transposed: Told
    class_right: float | None = None
    class_chance: float = 0.0


@dataclass(frozen=True)
class DatasetSummary:
    """What a report says about a dataset, and what tells it from another one.

    Attributes:
        class_names: Names by label.
        channels: 1 or 3; None where that is not known.
        fingerprint: Hash over names, contents, labels and splits; None where it is not known.
        division: How the splits came about, for people.
        counted: What the numbers per class are of: images, objects or pixels.
        splits: By name: ``train``, ``val`` and, where there is one, ``test``.
        objects: Of images with objects; None of others.
        sizes: ``width``, ``height`` and ``LONGER_SIDE`` of the images in pixels.
        skipped: What was left out or is worth a note, by reason.
        warnings: What looks wrong.
        tiles: Of images that are cut; None where they stay whole.
        symmetries: How well flips are told; None where that was not measured.
        object_symmetries: The same of the objects; None also of too few that are large enough.
    """

    class_names: tuple[str, ...] = ()
    channels: int | None = None
    fingerprint: str | None = None
    division: str = ""
    counted: str = "images"
    splits: dict[str, SplitSummary] = field(default_factory=dict)
    objects: ObjectSummary | None = None
    sizes: dict[str, Spread] = field(default_factory=dict)
    skipped: dict[str, SkippedSummary] = field(default_factory=dict)
    warnings: tuple[DataWarning, ...] = ()
    tiles: TileSummary | None = None
    symmetries: Symmetries | None = None
    object_symmetries: Symmetries | None = None

    @property
    def seen(self) -> DatasetSummary:
        """Return the summary of what networks see: with tiles in the place of images."""
        tiles = self.tiles
        if tiles is None:
            return self
        splits = {
            name: replace(part, images=tiles.splits[name]) for name, part in self.splits.items()
        }
        sizes = {**self.sizes, LONGER_SIDE: tiles.longer_side}
        return replace(self, splits=splits, sizes=sizes, objects=tiles.objects)

    def class_counts(self, split: str) -> list[int]:
        """Return what a split shows of each class, in the order of the classes."""
        return list(self.splits[split].per_class.values())

    def class_sizes(self, split: str) -> list[float]:
        """Return the same as examples: pixels as the number of images that they fill."""
        counts = self.class_counts(split)
        if self.counted != PIXELS:
            return [float(count) for count in counts]
        per_image = max(sum(counts), 1) / max(self.splits[split].images, 1)
        return [count / per_image for count in counts]
