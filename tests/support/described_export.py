"""An export of a detector as its manifest describes it, without files, for the tests of texts.

``python -m tests.support.described_export`` writes ``tests/golden/card.md`` and
``tests/golden/predict_onnx.py.txt`` anew; nothing else does.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from archfront.search.config.build import build
from archfront.search.config.schema import Config
from archfront.search.export.card import model_card
from archfront.search.export.snippets import snippet
from archfront.search.formats.formats import FORMATS
from archfront.search.predict.manifest import Artifact, Input, Manifest
from archfront.search.records.evaluation import Evaluation, Trained
from archfront.trainers.data.preprocess import Preprocess
from archfront.trainers.tasks import TASKS
from tests.support import recorded_study
from tests.support.configurations import changed

GOLDEN = Path(__file__).parents[1] / "golden"


def evaluation() -> Evaluation:
    outcome = Trained(0.5, 0.4, 0.6, {"map": 0.5}, ({"epoch": 1},), 1.0, "p.npz", "w")
    of, costs = recorded_study.candidate(), recorded_study.measurement(1.25)
    return Evaluation(3, of, 0, 7, 0, costs, outcome, 1.8e9, 2.0)


def artifact(name: str) -> Artifact:
    is_int8 = name.endswith("-int8")
    return Artifact(
        format=name,
        opener=FORMATS[name].opener,
        input=Input("images", "uint8" if is_int8 else "float32", 1, (3, 64, 64)),
        file=f"{name}/{FORMATS[name].file}",
        files={},
        precision="int8" if is_int8 else "fp32",
        runtime="onnxruntime 1.32.0",
        size_mb=1.234,
        parity=1.5e-6,
        metrics={"map": 0.49},
        lost=0.02,
        latency=None if is_int8 else {"p50_ms": 1.23456},
        marks=("loses 3% of its map", "is slow") if is_int8 else (),
    )


def manifest(task: str = "detection") -> Manifest:
    made = {name: artifact(name) for name in ("onnx", "onnx-int8")}
    of = recorded_study.candidate()
    return Manifest(
        study="flowers",
        trial=3,
        candidate_id=of.id,
        candidate=of.as_dict(),
        task=task,
        class_names=("daisy", "black_eyed susan", "Löwenzahn"),
        preprocess=Preprocess(64, 3, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), resize="pad"),
        output_names=TASKS[task].output_names,
        decode="detections (N, 100, 6): x1, y1, x2, y2 in pixels of the input",
        thresholds={"score": 0.3},
        metric="map",
        metrics={"map": 0.5, "map_50": 0.75},
        weights={"kind": "proxy", "seed": 7, "epochs": 1},
        data={
            "fingerprint": "0123abcd",
            "division": "60/20/20 by seed 0",
            "images": {"train": 2400, "val": 1, "test": 80},
        },
        licence="Trained from random weights: no license of pretrained weights applies.",
        versions={},
        created="2026-01-31T12:00:00Z",
        artifacts=made,
        failed={"hf": "it takes no detector; space.exportable=[hf] keeps a study to classifiers."},
    )


def config() -> Config:
    return build(changed())


def golden() -> dict[str, str]:
    """Return the texts that are kept, by the names of their files."""
    one = manifest()
    as_refit = replace(one, weights={"kind": "refit", "seed": 7, "epochs": 90}, failed={})
    cards = [model_card(each, evaluation(), config()) for each in (one, as_refit)]
    return {
        "card.md": "\n---\n\n".join(cards),
        "predict_onnx.py.txt": snippet(one, one.artifacts["onnx"]),
    }


if __name__ == "__main__":
    for name, text in golden().items():
        (GOLDEN / name).write_text(text, encoding="utf-8")
