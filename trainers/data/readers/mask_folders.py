"""Where images and masks lie, and which mask belongs to which image."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from archfront.trainers.data.raw import Skipped
from archfront.trainers.data.readers.paths import (
    SPLIT_NAMES,
    folders,
    images_below,
    images_in,
    name_of,
    split_folders,
)
from archfront.trainers.data.readers.text_files import read_lines
from archfront.trainers.errors import DataError

LAYOUT = (
    "archfront expects <data.root>/train/images beside train/masks, the same for val; or "
    "images/train beside masks/train; or train beside trainannot (train_masks, train_labels); or "
    "images beside masks, or JPEGImages beside SegmentationClass; or x_mask.png beside x.jpg"
)
ORDER = ("train", "val", "test")
IMAGES = ("images", "image", "imgs", "img", "jpegimages")
MASKS = (
    *("masks", "mask", "segmentationclass", "annotations", "annotation", "annot", "labels"),
    *("label", "gt", "groundtruth", "ground_truth", "segmentation"),
)
# What the names of masks or images have behind that of their pair.
TAIL = re.compile(
    r"[_\-. ](?:masks?|labels?|label_?ids|label_?train_?ids|seg|segmentation|annot|annotation|gt|"
    r"gtfine_label(?:train)?ids|leftimg8bit|image|img|rgb|l)$",
    re.IGNORECASE,
)
Pair = tuple[Path, Path]


@dataclass
class Pairing:
    """Images and masks that are matched, and what has no match."""

    root: Path
    broken: list[Skipped] = field(default_factory=list)
    notes: list[Skipped] = field(default_factory=list)

    def parts(self) -> dict[str, list[Pair]]:
        """Return each image with its mask, by the splits that folders or lists say.

        Raises:
            DataError: If the root has none of the layouts.
        """
        found = _split_pairs(self.root)
        if found:
            return {part: self._pairs(*found[part]) for part in ORDER if part in found}
        places = _beside(self.root)
        if places is None:
            together = _together(self.root)
            if together is None:
                raise DataError(
                    f"data.root {self.root} has no folders of images and masks. {LAYOUT}."
                )
            if "train" in together:
                self._leave_out(together.pop("all", None))
            return {
                part: self._matched(images, masks, (folder, folder))
                for part, (images, masks, folder) in together.items()
            }
        return self._by_lists(self._pairs(*places))

    def _leave_out(self, beside: tuple[list[Path], list[Path], Path] | None) -> None:
        """Tell which images lie beside the folders of splits."""
        for image in beside[0] if beside else ():
            detail = "it lies beside the folders of splits, so no split has it"
            name = name_of(image, self.root)
            self.notes.append(Skipped(name, "image outside of the splits", detail))

    def _by_lists(self, pairs: list[Pair]) -> dict[str, list[Pair]]:
        """Return the pairs by VOC's lists of splits, all together where there are none."""
        lists = {part: self.root / "ImageSets" / "Segmentation" / f"{part}.txt" for part in ORDER}
        if not lists["train"].is_file():
            return {"all": pairs}
        by_stem = {image.stem: (image, mask) for image, mask in pairs}
        parts: dict[str, list[Pair]] = {}
        for part, file in lists.items():
            if not file.is_file():
                continue
            parts[part] = []
            try:
                lines = read_lines(file)
            except DataError as error:
                raise DataError(f"{name_of(file, self.root)} cannot be used: {error}.") from error
            for line in lines:
                pair = by_stem.get(Path(line).name) or by_stem.get(Path(line).stem)
                if pair is not None:
                    parts[part].append(pair)
                    continue
                detail = f"{line} is in {name_of(file, self.root)}, but no image has a mask for it"
                self.broken.append(Skipped(line, "listed image without a mask", detail))
        return parts

    def _pairs(self, images: Path, masks: Path) -> list[Pair]:
        return self._matched(images_below(images), images_below(masks), (images, masks))

    def _matched(
        self, images: list[Path], masks: list[Path], bases: tuple[Path, Path]
    ) -> list[Pair]:
        """Return each image with its mask: of the same name, or but for a tail that all have."""
        key: Callable[[Path, Path], str] = _stem
        if not {key(f, bases[0]) for f in images} & {key(f, bases[1]) for f in masks}:
            key = _stem_without_tail
        by_key: dict[str, list[Path]] = {}
        for mask in masks:
            by_key.setdefault(key(mask, bases[1]), []).append(mask)
        found, used = [], set()
        for image in images:
            name, own = name_of(image, self.root), key(image, bases[0])
            fitting = by_key.get(own, [])
            if not fitting:
                where = name_of(bases[1], self.root)
                detail = f"{name} has no mask of its name in {where}"
                self.broken.append(Skipped(name, "image without a mask", detail))
            elif len(fitting) > 1:
                shown = " and ".join(name_of(mask, self.root) for mask in fitting)
                detail = f"{name} has two masks, {shown}; move one away"
                self.broken.append(Skipped(name, "image with two masks", detail))
            elif own in used:
                detail = f"{name} is a second image for {name_of(fitting[0], self.root)}"
                self.broken.append(Skipped(name, "mask with two images", detail))
            else:
                found.append((image, fitting[0]))
            used.add(own)
        for stem, extra in by_key.items():
            if stem not in used:
                name = name_of(extra[0], self.root)
                detail = f"{name} has no image of its name, so it was not looked at"
                self.notes.append(Skipped(name, "mask without an image", detail, is_note=True))
        return found


def _split_pairs(root: Path) -> dict[str, Pair]:
    """Return the folders of images and masks of each split."""
    found: dict[str, Pair] = {}
    for split, folder in split_folders(root):
        pair = _beside(folder) or _mask_folder_of(folder)
        if pair is not None:
            found.setdefault(split, pair)
    places = _beside(root)
    if places is not None:
        masks = dict(split_folders(places[1]))
        for split, folder in split_folders(places[0]):
            if split in masks:
                found.setdefault(split, (folder, masks[split]))
    for folder in folders(root):  # train_images beside train_masks
        called = folder.name.lower()
        match = re.fullmatch(rf"({'|'.join(SPLIT_NAMES)})[_\-]?({'|'.join(IMAGES)})", called)
        if match is not None:
            pair = _mask_folder_of(folder, match[1])
            if pair is not None:
                found.setdefault(SPLIT_NAMES[match[1]], pair)
    return found if "train" in found else {}


def _beside(folder: Path) -> Pair | None:
    """Return a folder of images and one of masks that lie in a folder."""
    by_name = {entry.name.lower(): entry for entry in folders(folder)}
    images = next((by_name[name] for name in IMAGES if name in by_name), None)
    masks = next((by_name[name] for name in MASKS if name in by_name), None)
    return None if images is None or masks is None else (images, masks)


def _mask_folder_of(folder: Path, name: str | None = None) -> Pair | None:
    """Return a folder of images and one called like it with a word for masks behind."""
    own = name or folder.name.lower()
    for entry in folders(folder.parent):
        match = re.fullmatch(rf"{re.escape(own)}[_\-]?(.+)", entry.name.lower())
        if match is not None and match[1] in MASKS:
            return folder, entry
    return None


def _together(root: Path) -> dict[str, tuple[list[Path], list[Path], Path]] | None:
    """Return images and masks that lie in one folder, each mask with a tail, by split."""
    found = {}
    for split, folder in (("all", root), *split_folders(root)):
        files = images_in(folder)
        masks = [file for file in files if _is_mask_beside(file, files)]
        if masks:
            taken = set(masks)
            found[split] = ([file for file in files if file not in taken], masks, folder)
    return found or None


def _is_mask_beside(file: Path, files: Iterable[Path]) -> bool:
    own = TAIL.sub("", file.stem)
    return own != file.stem and any(other.stem == own for other in files)


def _stem(file: Path, folder: Path) -> str:
    return file.relative_to(folder).with_suffix("").as_posix()


def _stem_without_tail(file: Path, folder: Path) -> str:
    return TAIL.sub("", _stem(file, folder))
