"""The metrics of an artifact over a split and its latency, in its own runtime."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from numpy.typing import NDArray

from archfront.search.latency.key import MeasureSettings
from archfront.search.records.evaluation import Latency
from archfront.trainers.tasks.protocol import Task

if TYPE_CHECKING:
    import torch

    from archfront.search.predict.predictor import Outputs, Predictor
    from archfront.trainers.data import Dataset, Preprocess
    from archfront.trainers.training.scoring import SplitScores


class Session(Protocol):
    """A loaded model that predicts resized images."""

    @property
    def batch(self) -> int:
        """Return how many images the model takes at a time."""

    def outputs(self, images: NDArray[Any]) -> Outputs:
        """Return the outputs by name for uint8 ``(N, C, S, S)``."""


def score_session(
    session: Session, task: Task, dataset: Dataset, preprocess: Preprocess, *, split: str = "val"
) -> SplitScores:
    """Return the metrics of an artifact over a split, and its predictions.

    Args:
        session: The open artifact.
        task: The task, which decodes the outputs and computes the metrics.
        dataset: The images and their targets.
        preprocess: How an image becomes the artifact's input.
        split: Name of the split.

    Raises:
        DataError: If the data has no such split.
        ExportError: If the runtime does not run the artifact.
    """
    from archfront.trainers.training.scoring import score_split

    def predict(pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        import torch

        found = session.outputs(pixels.numpy())
        return {name: torch.from_numpy(output) for name, output in found.items()}

    return score_split(
        predict,
        task=task,
        dataset=dataset,
        split=split,
        preprocess=preprocess,
        batch_size=session.batch,
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
    return latency_of(
        timing,
        settings,
        version=setup.runtime_version,
        exporter=setup.exporter,
        cores=setup.cores,
    )
