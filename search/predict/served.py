"""The export that MLflow serves by pyfunc. MLflow runs this file, nothing else.

No object of ours is pickled: the logged model holds this code and the export as plain files.
"""

from __future__ import annotations

from base64 import b64decode
from binascii import Error
from io import BytesIO
from pathlib import Path
from typing import Any

import mlflow
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from archfront.search.errors import ArtifactError

EXPORT = "export"
COLUMN = "image"


class Served(PythonModel):  # type: ignore[misc]  # MLflow's types are not read
    """Images in, one row of the answer each out."""

    def load_context(self, context: PythonModelContext) -> None:
        """Check and open the export that lies beside this code."""
        self.open(Path(context.artifacts[EXPORT]))

    def open(self, export: Path) -> None:
        """Check and open an export."""
        from archfront.search.predict.predictor import open_predictor

        self._predictor = open_predictor(export)

    # MLflow warns of type hints that are not its own, and has the signature.
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        """Return a data frame with the answers.

        Args:
            context: MLflow's.
            model_input: A data frame with the column ``image``: image files in base64.
            params: Not used.

        Raises:
            ArtifactError: If a value is no image in base64.
        """
        import pandas as pd

        return pd.DataFrame([self._answer(text) for text in model_input[COLUMN]])

    def _answer(self, text: str | bytes) -> dict[str, Any]:
        from PIL import Image

        from archfront.search.predict.answer import PredictedImage, answer, threshold_of
        from archfront.trainers.data.images import to_pixels

        try:
            with Image.open(BytesIO(b64decode(text, validate=True))) as image:
                pixels = to_pixels(image)
        except (Error, ValueError, OSError) as error:
            raise ArtifactError(
                f"The column {COLUMN!r} needs image files (PNG, JPEG, ...) in base64: {error}."
            ) from error
        outputs = self._predictor.outputs(self._predictor.resized([pixels]))
        return answer(
            PredictedImage(
                outputs={name: output[0] for name, output in outputs.items()},
                width=pixels.shape[1],
                height=pixels.shape[0],
                manifest=self._predictor.manifest,
                threshold=threshold_of(self._predictor.manifest, None),
            )
        )


mlflow.models.set_model(Served())
