"""What a dataset is before any image is decoded, to compare where its files were sent to."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from archfront.trainers.data.raw import RawSample
from archfront.trainers.data.readers import read_raw
from archfront.trainers.data.ref import DataRef
from archfront.trainers.data.targets import Mask, digest
from archfront.trainers.errors import DataError
from archfront.trainers.files import plain_path
from archfront.trainers.words import count_of


def outline(ref: DataRef) -> str:
    """Return how many images a dataset has, with a hash of their names and targets.

    Args:
        ref: Which data.

    Raises:
        DataError: If it cannot be read, or has images outside of its root, which are not sent.
    """
    raw = read_raw(ref)
    content = hashlib.sha256(json.dumps(raw.class_names).encode())
    samples = [(part, s) for part in sorted(raw.parts) for s in raw.parts[part]]
    outside = _outside(ref, [sample for _, sample in samples])
    if outside:
        raise DataError(
            f"engine.files: {count_of(len(outside), 'image lies', 'images lie')} outside of "
            f"data.root {ref.root} and would not be sent to the nodes: {outside[0]}. Give the "
            "folder that holds all as data.root, or use a shared folder and engine.files=shared."
        )
    for part, sample in samples:
        target = None if isinstance(sample.target, Mask) else digest(sample.target)
        row = [part, sample.name, sample.size, sample.group, target]
        content.update(json.dumps(row).encode())
    return f"{count_of(len(samples), 'image')} ({content.hexdigest()[:12]})"


def _outside(ref: DataRef, samples: list[RawSample]) -> list[Path]:
    """Return the images and masks that are named by paths which do not begin with the root."""
    if ref.root is None:
        return []
    root = plain_path(ref.root)
    masks = [s.target.source for s in samples if isinstance(s.target, Mask)]
    files = [f for f in (*(s.source for s in samples), *masks) if isinstance(f, Path)]
    return [file for file in files if not file.absolute().is_relative_to(root)]
