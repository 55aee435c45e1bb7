"""About 20 lines of Python for each format, which run without this package.

They are examples to read and to adapt: each resizes and decodes an image like ``archfront
predict``, in the simplest form. ``templates/programs/`` has one template for each opener,
``templates/resize/`` one for each way to resize, ``templates/answers/`` one for each task.
"""

from __future__ import annotations

from archfront.search.export.rendering import program_name, render
from archfront.search.formats.source import ONE_BY_ONE
from archfront.search.predict.manifest import Artifact, Manifest
from archfront.trainers.data.preprocess import FILTERS


def snippet(manifest: Manifest, artifact: Artifact) -> str:
    """Return a program that predicts with one artifact from the folder of its manifest."""
    program = "mlflow" if artifact.format == "mlflow" else artifact.opener
    return render(
        f"programs/{program}.py.j2",
        format=artifact.format,
        name=program_name(artifact.format),
        file=artifact.file,
        task=manifest.task,
        has_nms=manifest.task in ONE_BY_ONE,
        resize=manifest.preprocess.resize,
        filter=FILTERS[manifest.preprocess.interpolation].name,
        is_normalizing=artifact.input.dtype == "uint8",
        batch=artifact.input.batch or 1,
        tiling=manifest.preprocess.tiling,
        values=manifest.preprocess.value_range,
    )
