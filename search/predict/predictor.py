"""From images to the outputs of an exported network, a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from archfront.search.errors import ArtifactError
from archfront.search.predict.answer import PredictedImage, threshold_of
from archfront.search.predict.foreign import check_size
from archfront.search.predict.manifest import Artifact, Manifest, check_files, find_artifact
from archfront.search.predict.openers import open_file
from archfront.search.predict.opening import Opening
from archfront.search.runtimes.protocol import LoadedModel
from archfront.trainers.data.images import Pixels

# Images at a time of a network that takes any number.
BATCH = 16

Outputs = dict[str, NDArray[Any]]


class Predictor:
    """An opened artifact; used in a ``with`` block.

    Attributes:
        manifest: What the export says of itself.
        artifact: The format that is open.
        opened: What runs it.
    """

    def __init__(self, manifest: Manifest, artifact: Artifact, opened: LoadedModel) -> None:
        self.manifest, self.artifact, self.opened = manifest, artifact, opened

    @property
    def batch(self) -> int:
        """Return the number of images that are predicted at a time."""
        return self.artifact.input.batch or BATCH

    def outputs(self, images: Pixels) -> Outputs:
        """Return the outputs by name for resized images, uint8 ``(N, C, S, S)``.

        A network of a fixed batch gets it: what is missing of the last one is filled with black
        images, whose outputs are left out.

        Raises:
            ExportError: If the runtime does not run it.
        """
        parts = list(self._parts(images))
        names = self.manifest.output_names
        return {name: np.concatenate([part[name] for part in parts]) for name in names}

    def _parts(self, images: Pixels) -> Iterator[Outputs]:
        fixed = self.artifact.input.batch
        for start in range(0, len(images), self.batch):
            part = images[start : start + self.batch]
            n = len(part)
            if fixed is not None and n < fixed:
                rest = np.zeros((fixed - n, *part.shape[1:]), np.uint8)
                part = np.concatenate([part, rest])
            outputs = self.opened.outputs(self._given(part))
            yield {name: output[:n] for name, output in outputs.items()}

    def _given(self, pixels: Pixels) -> NDArray[Any]:
        """Return the input of the network."""
        if self.artifact.input.dtype == "uint8":
            return pixels
        return self.manifest.preprocess.normalized(pixels)

    def step(self, images: Pixels) -> Callable[[], None]:
        """Return a function that predicts the same images, normalized before as in a study."""
        given = np.ascontiguousarray(self._given(images))

        def predict() -> None:
            self.opened.outputs(given)

        return predict

    def resized(self, images: Sequence[Pixels]) -> Pixels:
        """Return images of any size as the network's square, uint8 ``(N, C, S, S)``."""
        squares = [self.manifest.preprocess.pixels(image) for image in images]
        return np.ascontiguousarray(np.stack(squares).transpose(0, 3, 1, 2))

    def predicted(self, image: Pixels, least_score: float | None = None) -> PredictedImage:
        """Return an image with what the network gives for it, or for each of its tiles.

        Args:
            image: uint8 ``(H, W, 1 or 3)``.
            least_score: From which score on labels and objects count; the export's when None.
        """
        height, width = image.shape[:2]
        return PredictedImage(
            outputs=self._of_tiles(image),
            width=width,
            height=height,
            manifest=self.manifest,
            threshold=threshold_of(self.manifest, least_score),
        )

    def _of_tiles(self, image: Pixels) -> Iterator[Outputs]:
        """Yield the outputs for each tile of an image, of which a batch is held at a time."""
        tiles = self.manifest.preprocess.tiles(image.shape[1], image.shape[0])
        for start in range(0, len(tiles), self.batch):
            part = tiles[start : start + self.batch]
            outputs = self.outputs(self.resized([image[t.rows, t.columns] for t in part]))
            for i in range(len(part)):
                yield {name: output[i] for name, output in outputs.items()}

    def __enter__(self) -> Self:
        """Open it."""
        self.opened.__enter__()
        return self

    def __exit__(self, *raised: object) -> None:
        """Free the network."""
        self.opened.__exit__(*raised)


def open_predictor(
    path: Path, format_name: str | None = None, *, threads: int = 1, is_trusted: bool = False
) -> Predictor:
    """Return the artifact that a path stands for, checked and opened.

    Args:
        path: As ``find_artifact`` takes it.
        format_name: As there.
        threads: Intra-op threads.
        is_trusted: Whether an export without this user's signature is opened like one with it:
            formats that are programs too, and in this process.

    Raises:
        ArtifactError: If it is not there, damaged or foreign, or a program of unknown origin.
        ConfigError: If it has no such format, or the library that it needs is not installed.
    """
    found = find_artifact(path, format_name)
    is_trusted = is_trusted or found.is_made_here
    if not is_trusted:
        check_size(found.folder, found.artifact)
    check_files(found.folder, found.artifact)
    return opened_artifact(
        found.folder,
        found.manifest,
        found.artifact,
        threads=threads,
        is_trusted=is_trusted,
    )


def opened_artifact(
    folder: Path, manifest: Manifest, artifact: Artifact, *, threads: int, is_trusted: bool
) -> Predictor:
    """Return an artifact opened, its files unchecked; ``is_trusted`` as in ``Opening``.

    Raises:
        ArtifactError: If it cannot be opened.
        ConfigError: If the library that it needs is not installed.
    """
    opening = Opening(
        path=folder / artifact.file,
        output_names=manifest.output_names,
        threads=threads,
        precision=artifact.precision,
        task=manifest.task,
        is_trusted=is_trusted,
    )
    channels, height, width = artifact.input.shape
    preprocess = manifest.preprocess
    if (channels, height, width) != (preprocess.channels, *(preprocess.input_size,) * 2):
        raise ArtifactError(
            f"The manifest's input {artifact.input.shape} is not what its preprocessing gives: "
            f"{preprocess.channels} channels of {preprocess.input_size} px."
        )
    return Predictor(manifest, artifact, open_file(artifact.opener, opening))
