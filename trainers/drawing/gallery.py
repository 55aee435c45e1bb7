"""A picture of some images of a split, from its saved predictions."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from archfront.trainers.data.targets import Objects, TargetKind
from archfront.trainers.drawing.panels import TITLES, DrawnPrediction, panel
from archfront.trainers.drawing.paper import Panel, grid
from archfront.trainers.errors import DataError
from archfront.trainers.files import replacing, write_whole
from archfront.trainers.sums import loaded_arrays
from archfront.trainers.tasks.judges.average_precision import unpacked
from archfront.trainers.tasks.protocol import SavedPredictions
from archfront.trainers.words import count_of

if TYPE_CHECKING:
    from archfront.trainers.data import Dataset
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
    rows = chosen(len(samples), seed)
    panels, title = _drawn(kind, architecture, dataset, split, saved, rows)
    n_samples = count_of(len(samples), f"{split} image")
    title = f"{title}, {len(rows)} of {n_samples} drawn by chance"
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
    panels, title = _drawn(kind, architecture, dataset, "val", saved, worst)
    n_samples = count_of(len(samples), "val image")
    title = f"{title}, the worst {len(worst)} of {n_samples}, worst first"
    with replacing(file) as written:
        grid(panels, title).save(written, format="PNG", optimize=True)


def _drawn(
    kind: TargetKind,
    architecture: Architecture,
    dataset: Dataset,
    split: str,
    saved: SavedPredictions,
    rows: Sequence[int],
) -> tuple[list[Panel], str]:
    """Return a panel of each of some images of a split, and what the panels show."""
    from archfront.trainers.tasks.judges.details import least_score

    samples, names = dataset.splits[split].samples, dataset.class_names
    least, title = least_score(kind, saved, names), TITLES[kind]
    if kind in ("boxes", "outlines"):
        title += f" with a score of at least {least:.3g}, the best by F1"
    panels = []
    for row in rows:
        said = replace(READ[kind](saved, row, samples[row], architecture), score_min=least)
        panels.append(panel(kind, samples[row].pixels(), samples[row].target, said, names))
    return panels, title


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
