"""What is served: a bad row fails alone, and a large request as a whole."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

from archfront.search.errors import ExportError
from archfront.search.predict import served
from archfront.search.predict.served import Served
from archfront.trainers.data.image_files import PixelLimit
from archfront.trainers.data.preprocess import Preprocess
from tests.support import small_member
from tests.support.shared_exports import SharedExports

NO_BASE64 = "no base64!"
NO_IMAGE = base64.b64encode(b"no image").decode()


@pytest.fixture
def model(exports: SharedExports) -> Served:
    opened = Served()
    opened.open(exports.served("classification"))
    return opened


@pytest.fixture
def image(tmp_path: Path) -> str:
    return base64.b64encode(small_member.picture(tmp_path).read_bytes()).decode()


def answers(model: Served, *images: Any) -> list[dict[str, Any]]:
    found = model.predict(None, pd.DataFrame({"image": pd.Series(images, dtype=object)}))
    rows: list[dict[str, Any]] = found.to_dict("records")
    json.loads(json.dumps(rows, allow_nan=False))
    return rows


def refusal(model: Served, *images: Any) -> str:
    with pytest.raises(MlflowException) as caught:
        answers(model, *images)
    assert caught.value.get_http_status_code() == 400
    return str(caught.value.message)


def test_a_bad_row_costs_no_other_row_its_answer(model: Served, image: str) -> None:
    (right,) = answers(model, image)
    assert right.keys() == {"label", "score", "probabilities"}
    rows = answers(model, NO_BASE64, image, NO_IMAGE, None, "ä", image)
    assert rows[1] == rows[5] == {**right, "error": None}
    assert [row["error"] for row in rows] == [
        "it is no base64 (Only base64 data is allowed)",
        None,
        "it is not an image of a known format",
        "it is no text",
        "it is no base64 (string argument should contain only ASCII characters)",
        None,
    ]
    assert rows[0]["label"] is None


def test_a_request_without_an_answer_is_refused_with_its_rows(model: Served) -> None:
    assert refusal(model, NO_IMAGE, *[NO_BASE64] * 6) == (
        "The column 'image' needs image files (PNG, JPEG, ...) in base64. row 0: it is not an "
        "image of a known format; "
        + "".join(f"row {n}: it is no base64 (Only base64 data is allowed); " for n in range(1, 5))
        + "and 2 more."
    )


def test_a_large_request_is_refused_before_an_image_is_read(
    model: Served, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert refusal(model, *["x"] * 257) == (
        "A request has at most 256 rows; got 257. Send several."
    )
    monkeypatch.setattr(served, "MAX_MB", 1e-3)
    assert refusal(model, "x" * 900, "x" * 101).startswith(
        "A request has at most 0.001 MB of images in base64; got 0.0 MB."
    )


def test_an_image_of_too_many_pixels_fails_its_row(
    model: Served, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Preprocess, "decoding", PixelLimit(10))
    assert "more than the 10 px of max_pixels" in refusal(model, image)


def test_a_failure_of_the_model_tells_no_place_here(
    model: Served, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(images: np.ndarray) -> dict[str, np.ndarray]:
        raise ExportError("/srv/models/secret/model.onnx: it ended")

    monkeypatch.setattr(model._predictor, "outputs", fail)
    message = refusal(model, image)
    assert "row 0: the model did not answer to it." in message
    assert "/srv" not in message
