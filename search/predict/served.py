"""The export that MLflow serves by pyfunc. MLflow runs this file, nothing else.

No object of ours is pickled: the logged model holds this code and the export as plain files.
"""

from __future__ import annotations

import logging
from base64 import b64decode
from binascii import Error
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from archfront.search.errors import ArchfrontError, DataError

log = logging.getLogger(__name__)

EXPORT = "export"
COLUMN, ERROR = "image", "error"
# Of one request, so that nobody waits for somebody else's thousands of images: rows, and letters
# of base64 (64 MB are 48 MB of image files).
MAX_ROWS, MAX_MB = 256, 64
# Rows that are named where every one is wrong.
N_SHOWN = 5


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
        """Return a data frame with the answers; a row that has none says why in ``error``.

        Args:
            context: MLflow's.
            model_input: A data frame with the column ``image``: image files in base64.
            params: Not used.

        Raises:
            MlflowException: If there are too many rows or letters, or no row has an answer; the
                server gives the status 400 with the message.
        """
        import pandas as pd

        texts = list(model_input[COLUMN])
        _check_size(texts)
        rows = [self._row(text) for text in texts]
        wrong = [(number, row[ERROR]) for number, row in enumerate(rows) if ERROR in row]
        if not wrong:
            return pd.DataFrame(rows)
        if len(wrong) == len(rows):
            reasons = "; ".join(f"row {number}: {reason}" for number, reason in wrong[:N_SHOWN])
            more = f"; and {len(wrong) - N_SHOWN} more" if len(wrong) > N_SHOWN else ""
            raise _refused(
                f"The column {COLUMN!r} needs image files (PNG, JPEG, ...) in base64. "
                f"{reasons}{more}."
            )
        columns = dict.fromkeys(key for row in rows for key in row)
        # As objects, since numbers would make what is missing NaN, which JSON does not have.
        return pd.DataFrame(
            {key: pd.Series([row.get(key) for row in rows], dtype=object) for key in columns}
        )

    def _row(self, text: Any) -> dict[str, Any]:
        """Return the answer to an image, or the reason why there is none, without places here."""
        try:
            return self._answer(text)
        except Error as error:
            return {ERROR: f"it is no base64 ({error})"}
        except DataError as error:
            return {ERROR: str(error)}
        except ArchfrontError:  # its message is for who serves the model
            log.exception("The model did not answer to an image.")
            return {ERROR: "the model did not answer to it"}

    def _answer(self, text: Any) -> dict[str, Any]:
        from archfront.search.predict.answer import answer
        from archfront.trainers.data.images import pixels_in

        if not isinstance(text, str | bytes):
            raise DataError("it is no text")
        try:
            content = b64decode(text, validate=True)
        except ValueError as error:  # letters beyond ASCII; binascii.Error is one too
            raise Error(str(error)) from error
        pixels = pixels_in(content, self._predictor.manifest.preprocess.decoding)
        return answer(self._predictor.predicted(pixels))


def _check_size(texts: Sequence[Any]) -> None:
    """Raise an MlflowException for a request that is too large."""
    if len(texts) > MAX_ROWS:
        raise _refused(f"A request has at most {MAX_ROWS} rows; got {len(texts):,}. Send several.")
    n_letters = sum(len(text) for text in texts if isinstance(text, str | bytes))
    if n_letters > MAX_MB * 1e6:
        raise _refused(
            f"A request has at most {MAX_MB} MB of images in base64; got {n_letters / 1e6:,.1f} "
            "MB. Send several requests, or smaller images."
        )


def _refused(message: str) -> MlflowException:
    return MlflowException(message, error_code=INVALID_PARAMETER_VALUE)


mlflow.models.set_model(Served())
