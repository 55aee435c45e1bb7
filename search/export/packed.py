"""MLflow's pyfunc around an exported ONNX file, as models from code: nothing is pickled."""

from __future__ import annotations

import os
import shutil
from base64 import b64encode
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

from archfront.search.predict.manifest import Manifest, write_manifest
from archfront.search.runtimes.installed import installed_version
from archfront.search.runtimes.quiet import quiet
from archfront.trainers.data.images import Pixels

SERVED = Path(__file__).parents[1] / "predict" / "served.py"
PACKAGE = Path(__file__).parents[2]
# The libraries that prediction needs; torch is none of them.
NEEDS = (
    "mlflow",
    "numpy",
    "pandas",
    "pillow",
    "onnxruntime",
    "faster-coco-eval",
    "rich",
    "psutil",
)


def pack(
    exported: Path, manifest: Manifest, format_name: str, target: Path, image: Pixels
) -> None:
    """Write a model that ``mlflow.pyfunc.load_model`` loads and ``mlflow models serve`` serves.

    Args:
        exported: The folder of the export.
        manifest: The manifest of the export.
        format_name: The format to pack.
        target: Folder to fill.
        image: The input example.
    """
    import mlflow
    import pandas as pd
    from mlflow.models import ModelSignature

    one = replace(manifest, artifacts={format_name: manifest.artifacts[format_name]}, failed={})
    shutil.rmtree(target)
    with TemporaryDirectory() as temporary:
        inner, code = Path(temporary) / "export", Path(temporary) / "code"
        shutil.copytree(exported / format_name, inner / format_name)
        write_manifest(one, inner)
        left_out = shutil.ignore_patterns("__pycache__", "*.csv", "*.j2", "conf")
        shutil.copytree(PACKAGE, code / PACKAGE.name, ignore=left_out, copy_function=_linked)
        with quiet():
            mlflow.pyfunc.save_model(
                path=str(target),
                python_model=str(SERVED),
                artifacts={"export": str(inner)},
                code_paths=[str(code / PACKAGE.name)],
                pip_requirements=[f"{name}=={installed_version(name)}" for name in NEEDS],
                signature=ModelSignature(**_schemas(manifest.task)),
                input_example=pd.DataFrame({"image": [encoded(image)]}),
            )


def encoded(image: Pixels) -> str:
    """Return an image as a PNG file in base64."""
    file = BytesIO()
    Image.fromarray(np.broadcast_to(image, (*image.shape[:2], 3)).copy()).save(file, "PNG")
    return b64encode(file.getvalue()).decode()


def _linked(source: str, target: str) -> None:
    """Put a file into a folder that MLflow copies; a copy of it where links are refused."""
    try:
        os.symlink(Path(source).absolute(), target)
    except OSError:
        shutil.copy2(source, target)


def _schemas(task: str) -> dict[str, Any]:
    """Return the schemas of the inputs and outputs of a task's model for MLflow."""
    from mlflow.types import ColSpec, Schema
    from mlflow.types.schema import Array, DataType, Map, Object, Property

    text, number, whole = DataType.string, DataType.double, DataType.long
    labels = [Property("label", text), Property("score", number)]
    box = Property("box", Array(number))
    rle = Object([Property("size", Array(whole)), Property("counts", text)])
    size = [ColSpec(whole, "width"), ColSpec(whole, "height")]
    probabilities = ColSpec(Map(number), "probabilities")
    outputs = {
        "classification": [ColSpec(text, "label"), ColSpec(number, "score"), probabilities],
        "multilabel": [ColSpec(Array(Object(labels)), "labels"), probabilities],
        "semantic": [
            *size,
            ColSpec(
                Array(
                    Object(
                        [
                            Property("label", text),
                            Property("share", number),
                            Property("mask", rle),
                        ]
                    )
                ),
                "classes",
            ),
        ],
        "detection": [*size, ColSpec(Array(Object([*labels, box])), "objects")],
        "instance": [
            *size,
            ColSpec(Array(Object([*labels, box, Property("mask", rle)])), "objects"),
        ],
    }
    # Of a row that has no answer.
    error = ColSpec(text, "error", required=False)
    return {
        "inputs": Schema([ColSpec(text, "image")]),
        "outputs": Schema([*outputs[task], error]),
    }
