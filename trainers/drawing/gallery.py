"""A picture of some images of a split, from its saved predictions."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
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
    from archfront.trainers.tasks.judges.details import ClassDetails

N_IMAGES = 12


@dataclass(frozen=True, eq=False)
class JudgedPredictions:
    """What a network said of the validation split, with its images and what that is worth.

    Attributes:
        architecture: Of the network.
        kind: What is asked for of an image.
        samples: The images with their truth.
        saved: What the task's evaluator saved.
        details: What the predictions are worth by class, and from which score they count.
    """

    architecture: Architecture
    kind: TargetKind
    samples: Sequence[Sample]
    saved: SavedPredictions
    details: ClassDetails


def judged(architecture: Architecture, data: DataRef, predictions: Path) -> JudgedPredictions:
    """Return saved predictions of the validation split, evaluated once for all that is drawn.

    Args:
        architecture: Of the network.
        data: What it was trained on.
        predictions: What its task's evaluator saved for the split.

    Raises:
        DataError: If the data cannot be read, or the predictions are of other data.
    """
    from archfront.trainers.data.loading import load
    from archfront.trainers.tasks import task_named
    from archfront.trainers.tasks.judges.details import class_details

    kind = task_named(architecture.task).target
    dataset = load(data)
    samples = dataset.splits["val"].samples
    with loaded_arrays(predictions) as loaded:
        saved = dict(loaded)
    if (n := n_images(saved)) != len(samples):
        raise DataError(
            f"{predictions} holds predictions for {count_of(n, 'image')} and the val split "
            f"has {len(samples)}. Did the data change since the study began?"
        )
    details = class_details(kind, saved, dataset.class_names)
    return JudgedPredictions(architecture, kind, samples, saved, details)


def write_gallery(said: JudgedPredictions, file: Path, *, seed: int = 0) -> Path:
    """Draw what a trained network said of some images, beside the truth.

    Which images is drawn from the seed and depends on nothing else, so that the pictures of two
    networks compare.

    Args:
        said: The predictions.
        file: PNG to write.
        seed: Decides which images are shown.
    """
    rows = chosen(len(said.samples), seed)
    n_samples = count_of(len(said.samples), "val image")
    _draw(said, rows, f"{len(rows)} of {n_samples} drawn by chance", file)
    return file


def write_mistakes(said: JudgedPredictions, file: Path, details: Path) -> None:
    """Draw the images that a network is most wrong about.

    And write what its predictions are worth by class, first, as that needs no image. Nothing is
    drawn where all answers are right.

    Args:
        said: The predictions.
        file: PNG to write.
        details: JSON of ``ClassDetails`` to write.
    """
    from archfront.trainers.tasks.judges.details import worst_images

    write_whole(details, json.dumps(asdict(said.details)) + "\n")
    worst = worst_images(said.kind, said.saved, N_IMAGES)
    if worst:
        n_samples = count_of(len(said.samples), "val image")
        _draw(said, worst, f"the worst {len(worst)} of {n_samples}, worst first", file)


def _draw(said: JudgedPredictions, rows: Sequence[int], which: str, file: Path) -> None:
    """Draw a panel of each of some images, under a title that says which they are."""
    least, names = said.details.score_min, said.details.class_names
    panels = []
    for row in rows:
        sample = said.samples[row]
        read = READ[said.kind](said.saved, row, sample, said.architecture)
        drawn = replace(read, score_min=least)
        panels.append(panel(said.kind, sample.pixels(), sample.target, drawn, names))
    with replacing(file) as written:
        title = f"{_title(said.kind, least)}, {which}"
        grid(panels, title).save(written, format="PNG", optimize=True)


def _title(kind: TargetKind, least: float) -> str:
    """Return what the panels show of a kind of task, of objects from which score on."""
    if kind in ("boxes", "outlines"):
        return f"{TITLES[kind]} with a score of at least {least:.3g}, the best by F1"
    return TITLES[kind]


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
