"""A picture of some images of a split, from its saved predictions."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from archfront.trainers.data.targets import Objects, TargetKind
from archfront.trainers.drawing.panels import TITLES, DrawnPrediction, panel
from archfront.trainers.drawing.paper import grid
from archfront.trainers.errors import DataError
from archfront.trainers.files import replacing, write_whole
from archfront.trainers.sums import loaded_arrays
from archfront.trainers.tasks.judges.average_precision import unpacked
from archfront.trainers.tasks.protocol import SavedPredictions
from archfront.trainers.words import count_of

if TYPE_CHECKING:
    from archfront.trainers.data.ref import DataRef
    from archfront.trainers.data.verify import Sample
    from archfront.trainers.spec import Architecture

N_IMAGES = 12


def write_gallery(
    architecture: Architecture,
    data: DataRef,
    predictions: Path,
    file: Path,
    *,
    split: str = "val",
    seed: int = 0,
) -> Path:
    """Draw what a trained network said of some images of a split, beside the truth.

    Which images is drawn from the seed and depends on nothing else, so that the pictures of two
    networks compare.

    Args:
        architecture: Of the network.
        data: What it was trained on.
        predictions: What its task's evaluator saved for the split.
        file: PNG to write.
        split: The split.
        seed: Decides which images are shown.

    Raises:
        DataError: If the data cannot be read, or the predictions are of other data.
    """
    from archfront.trainers.data.loading import load
    from archfront.trainers.tasks import task_named

    kind = task_named(architecture.task).target
    dataset = load(data)
    samples = dataset.splits[split].samples
    with loaded_arrays(predictions) as loaded:
        saved = dict(loaded)
    if (n := n_images(saved)) != len(samples):
        raise DataError(
            f"{predictions} holds predictions for {count_of(n, 'image')} and the {split} split "
            f"has {len(samples)}. Did the data change since the study began?"
        )
    panels = [
        panel(
            kind,
            samples[i].pixels(),
            samples[i].target,
            READ[kind](saved, i, samples[i], architecture),
            dataset.class_names,
        )
        for i in chosen(len(samples), seed)
    ]
    n_samples = count_of(len(samples), f"{split} image")
    title = f"{TITLES[kind]}, {len(panels)} of {n_samples} drawn by chance"
    with replacing(file) as written:
        grid(panels, title).save(written, format="PNG", optimize=True)
    return file


def write_mistakes(
    architecture: Architecture, data: DataRef, predictions: Path, file: Path, details: Path
) -> None:
    """Draw the images of the validation split that a network is most wrong about.

    And write what its predictions are worth by class, first, as that needs no image. Nothing is
    drawn where all answers are right.

    Args:
        architecture: Of the network.
        data: What it was trained on.
        predictions: What its task's evaluator saved for the split.
        file: PNG to write.
        details: JSON of ``ClassDetails`` to write.
    """
    from archfront.trainers.data.loading import load
    from archfront.trainers.tasks import task_named
    from archfront.trainers.tasks.judges.details import class_details, worst_images

    kind, dataset = task_named(architecture.task).target, load(data)
    samples = dataset.splits["val"].samples
    with loaded_arrays(predictions) as loaded:
        saved = dict(loaded)
    found = asdict(class_details(kind, saved, dataset.class_names))
    write_whole(details, json.dumps(found) + "\n")
    worst = worst_images(kind, saved, N_IMAGES)
    if not worst:
        return
    panels = [
        panel(
            kind,
            samples[i].pixels(),
            samples[i].target,
            READ[kind](saved, i, samples[i], architecture),
            dataset.class_names,
        )
        for i in worst
    ]
    n_samples = count_of(len(samples), "val image")
    with replacing(file) as written:
        title = f"{TITLES[kind]}, the worst {len(panels)} of {n_samples}, worst first"
        grid(panels, title).save(written, format="PNG", optimize=True)


def chosen(n_images: int, seed: int) -> list[int]:
    """Return which images are shown, in their order."""
    rng = np.random.default_rng([seed, n_images])
    return sorted(rng.choice(n_images, min(N_IMAGES, n_images), replace=False).tolist())


def n_images(saved: SavedPredictions) -> int:
    """Return the number of images whose predictions were saved."""
    return len(saved["images"] if "images" in saved else saved["labels"])


def _scores(
    saved: SavedPredictions, index: int, sample: Sample, architecture: Architecture
) -> DrawnPrediction:
    return DrawnPrediction(scores=saved["probabilities"][index])


def _mask(
    saved: SavedPredictions, index: int, sample: Sample, architecture: Architecture
) -> DrawnPrediction:
    """Return the class map of the part of the network's input that the image fills."""
    from archfront.trainers.networks.backbone import preprocess_for
    from archfront.trainers.spec import Weights
    from archfront.trainers.tasks import task_named

    resize = task_named(architecture.task).resize
    preprocess = preprocess_for(architecture, Weights(), resize)
    across, down = preprocess.inside(sample.width, sample.height)
    return DrawnPrediction(mask=saved["maps"][index][:down, :across])


def _objects(
    saved: SavedPredictions, index: int, sample: Sample, architecture: Architecture
) -> DrawnPrediction:
    """Return the objects found in an image; see ``average_precision`` for the keys."""
    mine = np.flatnonzero(saved["found_images"] == index)
    segments = None
    if "found_masks" in saved:
        outlines = unpacked(saved, "found")
        segments = tuple(outlines[i] for i in mine)
    objects = Objects(
        saved["found_boxes"][mine],
        saved["found_labels"][mine],
        np.zeros(len(mine), np.bool_),
        segments,
    )
    return DrawnPrediction(scores=saved["found_scores"][mine], objects=objects)


# Readers of saved predictions, by the kind of target.
READ: dict[
    TargetKind, Callable[[SavedPredictions, int, Sample, Architecture], DrawnPrediction]
] = {
    "label": _scores,
    "labels": _scores,
    "mask": _mask,
    "boxes": _objects,
    "outlines": _objects,
}
