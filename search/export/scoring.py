"""The metrics of an artifact over a split and its latency, in its own runtime."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from archfront.search.latency.key import MeasureSettings
from archfront.search.records.evaluation import Latency
from archfront.trainers.tasks.protocol import Task

if TYPE_CHECKING:
    import torch

    from archfront.search.predict.predictor import Outputs, Predictor
    from archfront.trainers.data import Dataset, Preprocess
    from archfront.trainers.training.scoring import SplitScores


def score_outputs(
    outputs: Callable[[NDArray[Any]], Outputs],
    task: Task,
    dataset: Dataset,
    preprocess: Preprocess,
    *,
    batch: int,
    split: str = "val",
) -> SplitScores:
    """Return the metrics of an artifact over a split, and its predictions.

    Args:
        outputs: Outputs by name for resized images, uint8 ``(N, C, S, S)``.
        task: The task, which decodes the outputs and computes the metrics.
        dataset: The images and their targets.
        preprocess: How an image becomes the artifact's input.
        batch: How many images the artifact takes at a time.
        split: Name of the split.

    Raises:
        DataError: If the data has no such split.
        ExportError: If the runtime does not run the artifact.
    """
    from archfront.trainers.training.scoring import score_split

    def predict(pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        import torch

        found = outputs(pixels.numpy())
        return {name: torch.from_numpy(output) for name, output in found.items()}

    return score_split(
        predict,
        task=task,
        dataset=dataset,
        split=split,
        preprocess=preprocess,
        batch_size=batch,
    )


@dataclass(frozen=True)
class TimingSetup:
    """How an artifact is timed.

    Attributes:
        settings: Threads, batch, effort; the runtime is the artifact's own.
        images: Images of one prediction, resized, uint8 ``(N, C, S, S)``.
        runtime_version: Version of the library that runs the artifact.
        exporter: Name of what made the file.
        cores: The cores that the artifact was opened on, where its threads run; None if unknown.
    """

    settings: MeasureSettings
    images: NDArray[Any]
    runtime_version: str
    exporter: str
    cores: tuple[int, ...] | None = None


def time_session(predictor: Predictor, setup: TimingSetup) -> Latency:
    """Return the latency of an open artifact, measured like a study measures its candidates.

    Raises:
        ExportError: If the runtime does not run the artifact.
    """
    from archfront.search.latency import clock
    from archfront.search.latency.instruments import effort_of, pace_of
    from archfront.search.latency.measure import latency_of
    from archfront.search.latency.tiled import latency_of_image

    artifact = predictor.artifact
    settings = replace(
        setup.settings,
        runtime=artifact.format,
        precision=artifact.precision,
        batch_size=len(setup.images),
    )
    timing = clock.measure(
        predictor.step(setup.images), effort_of(settings), pace=pace_of(settings)
    )
    latency = latency_of(
        timing,
        settings,
        version=setup.runtime_version,
        exporter=setup.exporter,
        cores=setup.cores,
    )
    return latency_of_image(latency, settings.tiles)
