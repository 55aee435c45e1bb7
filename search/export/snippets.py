"""About 20 lines of Python for each format, which run without this package.

They are for reading and taking along. What they resize and decode is what ``archfront predict``
does, in its simplest form.
"""

from __future__ import annotations

from archfront.search.formats.source import ONE_BY_ONE
from archfront.search.predict.manifest import Artifact, Manifest

HEAD = '''\
"""Predict with the {format} file: python {name} IMAGE... (needs {needs})."""

import json
import sys
from pathlib import Path

import numpy as np
{imports}
from PIL import Image, ImageOps

here = Path(__file__).parent
about = json.loads((here / "manifest.json").read_text(encoding="utf-8"))
prepare, names = about["preprocess"], about["class_names"]
size, mode = prepare["input_size"], {{1: "L", 3: "RGB"}}[prepare["channels"]]
{load}
for path in sys.argv[1:]:
    image = ImageOps.exif_transpose(Image.open(path)).convert(mode)
{resize}
    pixels = np.asarray(square, np.uint8).reshape(size, size, -1)
{given}
{run}
{say}
'''

SQUASH = "    square = image.resize((size, size), Image.Resampling.{filter})"
CROP = """\
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    box = (left, top, left + side, top + side)
    square = image.resize((size, size), Image.Resampling.{filter}, box)"""
PAD = """\
    scale = size / max(image.size)
    inside = [max(1, round(side * scale)) for side in image.size]
    square = Image.new(mode, (size, size), (114, 114, 114) if mode == "RGB" else 114)
    square.paste(image.resize(inside, Image.Resampling.{filter}), (0, 0))"""
RESIZE = {"squash": SQUASH, "crop": CROP, "pad": PAD}

NORMALIZED = """\
    values = (pixels / 255 - prepare["mean"]) / prepare["std"]
    images = np.repeat(values.transpose(2, 0, 1)[None].astype(np.float32), {batch}, axis=0)"""
AS_IT_IS = "    images = np.repeat(pixels.transpose(2, 0, 1)[None], {batch}, axis=0)"

# A graph of torch calls it by name.
NMS = "import torchvision  # noqa: F401  # has the non-maximum suppression"

# What each opener needs, imports, loads and runs.
OPENED = {
    "onnx": (
        "numpy, pillow, onnxruntime",
        "import onnxruntime",
        'model = onnxruntime.InferenceSession(here / "{file}")',
        '    outputs = model.run(about["output_names"], {"images": images})',
    ),
    "openvino": (
        "numpy, pillow, openvino",
        "import openvino",
        'model = openvino.Core().compile_model(here / "{file}", "CPU")',
        '    found = model(images)\n    outputs = [found[name] for name in about["output_names"]]',
    ),
    "torchscript": (
        "numpy, pillow, torch",
        "import torch",
        'model = torch.jit.load(str(here / "{file}"))',
        "    outputs = [output.numpy() for output in model(torch.from_numpy(images))]",
    ),
    "torch-export": (
        "numpy, pillow, torch",
        "import torch",
        "# torch.export unpickles: load only what you trust (archfront predict looks first).\n"
        'model = torch.export.load(here / "{file}").module()',
        "    outputs = [output.numpy() for output in model(torch.from_numpy(images))]",
    ),
}

SAY = {
    "classification": """\
    best = int(outputs[0][0].argmax())
    print(path, names[best], round(float(outputs[0][0][best]), 4))""",
    "multilabel": """\
    shown = np.flatnonzero(outputs[0][0] > about["thresholds"]["score"])
    print(path, {names[i]: round(float(outputs[0][0][i]), 4) for i in shown})""",
    "semantic": """\
    logits = outputs[0][0][:, : inside[1], : inside[0]]
    found = np.bincount(logits.argmax(axis=0).ravel(), minlength=len(names)) / logits[0].size
    print(path, {name: round(float(share), 4) for name, share in zip(names, found) if share})""",
    "detection": """\
    for x1, y1, x2, y2, score, label in outputs[2][0]:
        if score >= about["thresholds"]["score"]:
            box = [round(float(value) / scale, 1) for value in (x1, y1, x2, y2)]
            print(path, names[int(label)], round(float(score), 4), box)""",
    "instance": """\
    for (x1, y1, x2, y2, score, label), mask in zip(outputs[2][0], outputs[3][0]):
        if score >= about["thresholds"]["score"]:
            box = [round(float(value) / scale, 1) for value in (x1, y1, x2, y2)]
            area = round(16 * int((mask >= 0.5).sum()) / scale**2)
            print(path, names[int(label)], round(float(score), 4), box, area, "pixels")""",
}

HF = '''\
"""Predict with transformers: python {name} IMAGE... (needs transformers, timm, torch, pillow)."""

import sys
from pathlib import Path

import torch
from PIL import Image, ImageOps
from transformers import AutoImageProcessor, AutoModelForImageClassification

folder = Path(__file__).parent / "{file}"
processor = AutoImageProcessor.from_pretrained(folder)
model = AutoModelForImageClassification.from_pretrained(folder).eval()
for path in sys.argv[1:]:
    image = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    with torch.no_grad():
        logits = model(**processor(image, return_tensors="pt")).logits[0]
    {say}
'''
HF_SAY = {
    "classification": """\
best = int(logits.argmax())
    print(path, model.config.id2label[best], round(float(logits.softmax(0)[best]), 4))""",
    "multilabel": """\
shares = dict(zip(model.config.id2label.values(), logits.sigmoid().tolist()))
    print(path, {name: round(share, 4) for name, share in shares.items() if share > 0.5})""",
}

MLFLOW = '''\
"""Predict with MLflow: python {name} IMAGE... (needs mlflow/requirements.txt)."""

import base64
import sys
from pathlib import Path

import mlflow
import pandas as pd

model = mlflow.pyfunc.load_model(str(Path(__file__).parent / "mlflow"))
images = [base64.b64encode(Path(path).read_bytes()).decode() for path in sys.argv[1:]]
answers = model.predict(pd.DataFrame({{"image": images}}))
for path, answer in zip(sys.argv[1:], answers.to_dict("records")):
    print(path, answer)
'''


def snippet(manifest: Manifest, artifact: Artifact) -> str:
    """Return a program that predicts with one artifact, lying beside its manifest."""
    name = f"predict_{artifact.format.replace('-', '_')}.py"
    if artifact.format == "mlflow":
        return MLFLOW.format(name=name)
    if artifact.opener == "hf":
        return HF.format(name=name, file=artifact.file, say=HF_SAY[manifest.task])
    needs, imports, load, run = OPENED[artifact.opener]
    if imports == "import torch" and manifest.task in ONE_BY_ONE:
        needs, imports = f"{needs}, torchvision", f"{imports}\n{NMS}"
    given = AS_IT_IS if artifact.input.dtype == "uint8" else NORMALIZED
    return HEAD.format(
        format=artifact.format,
        name=name,
        needs=needs,
        imports=imports,
        load=load.format(file=artifact.file),
        resize=RESIZE[manifest.preprocess.resize].format(
            filter=manifest.preprocess.interpolation.upper()
        ),
        given=given.format(batch=artifact.input.batch or 1),
        run=run,
        say=SAY[manifest.task],
    )
