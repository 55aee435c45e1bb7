"""Images and masks of the same name in two folders: the class of every pixel.

A mask is an image of class indices, whatever its own palette shows, or of colors that
``data.palette`` explains. Where the files lie is in ``mask_folders.py``, what their values mean in
``mask_values.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from archfront.trainers.data.file_facts import file_facts
from archfront.trainers.data.mask_facts import MaskFacts, mask_facts
from archfront.trainers.data.raw import RawData, RawSample
from archfront.trainers.data.readers.mask_folders import LAYOUT, Pairing
from archfront.trainers.data.readers.mask_names import named_in_files
from archfront.trainers.data.readers.mask_values import classes_of
from archfront.trainers.data.readers.outside_root import linked_outside
from archfront.trainers.data.readers.paths import as_parts, existing_root, name_of
from archfront.trainers.data.ref import DataRef
from archfront.trainers.data.targets import Mask
from archfront.trainers.threads import threads


def read_masks(ref: DataRef) -> RawData:
    """Return the images that have a mask of the same name without its ending.

    Classes are those of ``data.palette``; else of ``data.classes``, in the order of their values
    from 0 on, ``data.ignore_index`` left out; else those of a file of names beside the folders;
    else the values that are found: ``class 0``, ...

    Raises:
        DataError: If the folders are not there, or the classes cannot be known.
    """
    root = existing_root(ref, "the folder of images and masks", LAYOUT)
    pairing = Pairing(root)
    pairs = pairing.parts()
    files = (file for part in pairs.values() for pair in part for file in pair)
    linked = linked_outside(root, files)
    facts = _facts([mask for part in pairs.values() for _, mask in part], ref)
    said = ref if ref.palette or ref.classes else replace(ref, **named_in_files(root, facts))
    classes = classes_of(said, facts, f"data.root {root}")
    parts = {
        part: [
            RawSample(
                image, Mask(mask, classes.values, limit=ref.pixel_limit), name_of(image, root)
            )
            for image, mask in found
        ]
        for part, found in pairs.items()
    }
    kept, repeated = as_parts(parts, root)
    return RawData(
        where=f"data.root {root}",
        class_names=classes.names,
        parts=kept,
        skipped=(*pairing.notes, *linked, *classes.notes),
        broken=(*pairing.broken, *repeated),
    )


def _facts(masks: Sequence[Path], ref: DataRef) -> dict[Path, MaskFacts]:
    """Return what each mask holds that can be read; the others are reported later."""
    known = file_facts(ref.shared, ref.root)
    with ThreadPoolExecutor(threads()) as pool:
        found = pool.map(lambda mask: mask_facts(mask, known, ref.pixel_limit), masks)
        return {mask: fact for mask, fact in zip(masks, found, strict=True) if fact is not None}
