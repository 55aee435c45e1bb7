"""A small recorded study, drawn from a seed, for the tests of front, figure and report.

``python -m tests.support.recorded_study`` writes ``tests/golden/front.json`` anew; nothing
else does.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from archfront.search.config.schema import LIMITS as NAMES
from archfront.search.front.members import build_front, front_hypervolume, pairwise
from archfront.search.records.candidate import Candidate
from archfront.search.records.codec import encode
from archfront.search.records.evaluation import (
    Evaluation,
    Failed,
    Latency,
    Measurement,
    Rejected,
    Trained,
)
from archfront.search.records.header import Environment
from archfront.search.records.objectives import Reference, objectives_for
from archfront.search.report.document import StudyRecord
from archfront.trainers.dataset_summary import (
    DatasetSummary,
    SkippedExample,
    SkippedSummary,
    SplitSummary,
    Spread,
)
from archfront.trainers.spec import Architecture, Recipe, Weights

GOLDEN = Path(__file__).parents[1] / "golden" / "front.json"
OBJECTIVES = objectives_for("accuracy")
LIMITS: dict[str, float | None] = {**dict.fromkeys(NAMES), "latency_ms": 4.0}
REFERENCE = Reference({"accuracy": 0.1, "latency_ms": 4.0})


def candidate(backbone: str = "resnet18", head: str = "avg", input_size: int = 32) -> Candidate:
    return Candidate(
        Architecture("classification", backbone, head, input_size, classes=10, channels=1),
        Weights(),
        Recipe(lr=0.003, weight_decay=0.05, batch_size=64, augment="light", dropout=0.1),
    )


def measurement(p50_ms: float, params_m: float = 1.0) -> Measurement:
    return Measurement(
        latency=Latency(
            p50_ms=p50_ms,
            p95_ms=p50_ms * 1.1,
            spread=0.02,
            repeats=50,
            warmup=10,
            threads=1,
            batch_size=1,
            runtime="onnxruntime",
            runtime_version="1.32.0",
            precision="fp32",
            device="cpu-1234",
            exporter="torchscript",
            is_stable=True,
        ),
        params_m=params_m,
        macs_g=params_m / 10,
        size_mb=params_m * 4,
        seconds=1.5,
    )


def unmeasured(evaluations: Iterable[Evaluation]) -> list[Evaluation]:
    """Return evaluations without their costs: a disturbed latency is measured again at the end."""
    return [replace(evaluation, measurement=None) for evaluation in evaluations]


def curve(metric: float, epochs: int = 3) -> tuple[dict[str, object], ...]:
    return tuple(
        {
            "epoch": epoch,
            "train_loss": 2.0 / epoch,
            "lr": 0.003 / epoch,
            "seconds": 2.0,
            "metrics": {"accuracy": metric * (1 - 0.5 / epoch**2)},
        }
        for epoch in range(1, epochs + 1)
    )


def trained(
    trial: int, metric: float, p50_ms: float, *, of: Candidate | None = None, params_m: float = 1.0
) -> Evaluation:
    outcome = Trained(
        metric=metric,
        metric_low=max(0.0, metric - 0.01),
        metric_high=min(1.0, metric + 0.008),
        metrics={"accuracy": metric, "macro_f1": metric - 0.002},
        curve=curve(metric),
        seconds=12.0,
        predictions=f"trials/{trial}/predictions.npz",
        weights=f"trials/{trial}/weights.safetensors",
    )
    return Evaluation(
        trial=trial,
        candidate=of or candidate(),
        rung=0,
        seed=7,
        attempt=0,
        measurement=measurement(p50_ms, params_m),
        outcome=outcome,
        started=1_800_000_000.0 + 15 * trial,
        seconds=14.0,
    )


def rejected(trial: int, p50_ms: float, *, of: Candidate | None = None) -> Evaluation:
    over = Rejected({"latency_ms": (p50_ms, 4.0)})
    return replace(trained(trial, 0.5, p50_ms, of=of), outcome=over, seconds=2.0)


def failed(
    trial: int,
    message: str = "the loss is nan",
    p50_ms: float | None = 2.0,
    *,
    of: Candidate | None = None,
) -> Evaluation:
    measured = None if p50_ms is None else measurement(p50_ms)
    outcome = Failed("diverged", message)
    return replace(trained(trial, 0.5, 1.0, of=of), outcome=outcome, measurement=measured)


def study() -> list[Evaluation]:
    """Return 16 trained, 6 rejected and 2 failed trials, the same every time."""
    rng = random.Random(20)
    names = ("resnet18", "resnet10t", "mobilenetv3_small_050", "convnext_atto", "efficientnet_b0")
    evaluations: list[Evaluation] = []
    for trial in range(24):
        of = candidate(
            names[trial % 5], ("avg", "gem", "mlp")[trial % 3], (8, 16, 24, 32)[trial % 4]
        )
        p50_ms = round(0.08 * 1.9 ** (5.8 * rng.random()), 3)
        metric = round(0.995 - 0.027 * p50_ms**-0.7 - 0.05 * rng.random(), 4)
        if trial % 4 == 3:
            evaluations.append(rejected(trial, round(4 + 8 * rng.random(), 3), of=of))
        elif trial in (9, 17):
            evaluations.append(failed(trial, p50_ms=2.0 if trial == 9 else None, of=of))
        else:
            params_m = round(0.4 + 12 * rng.random(), 2)
            evaluations.append(trained(trial, metric, p50_ms, of=of, params_m=params_m))
    return evaluations


def record(**changes: object) -> StudyRecord:
    """Return the study as the report takes it, with some of it changed."""
    evaluations = study()
    counts = {"zero": 60, "one": 55, "two": 31}
    whole = StudyRecord(
        name="digits",
        state="finished: 16 trials trained",
        task="classification",
        device="Some CPU, 2 cores",
        objectives=OBJECTIVES,
        limits=LIMITS,
        reference=REFERENCE,
        evaluations=evaluations,
        members=build_front(
            evaluations, OBJECTIVES, ties=pairwise(lambda a, b: a.trial + b.trial == 24)
        ),
        data="digits",
        dataset=DatasetSummary(
            class_names=tuple(counts),
            channels=1,
            fingerprint="abc123",
            division="split 50/50 with seed 0",
            splits=dict.fromkeys(("train", "val"), SplitSummary(146, counts)),
            sizes={"width": Spread(8, 8, 8), "height": Spread(8, 9.5, 12)},
            skipped={
                "broken image": SkippedSummary(7, (SkippedExample("a/b.png", "it ends too soon"),))
            },
        ),
        environment=Environment({"torch": "2.15.0"}, "cpu-1234"),
        config={"task": {"name": "classification", "metric": "accuracy"}},
        command="archfront run experiment=digits",
        space_size=1234,
        started=1_800_000_000.0,
        finished=1_800_000_290.0,
        seconds={"training": 192.0, "measuring": 48.5, "idle": 9.5},
        test_scores={},
    )
    return replace(whole, **changes)


def golden() -> dict[str, object]:
    """Return the recorded study with the numbers that it must give."""
    evaluations = study()
    members = build_front(evaluations, OBJECTIVES)
    return {
        "hypervolume": round(front_hypervolume(evaluations, OBJECTIVES, REFERENCE), 9),
        "knee": next(m.candidate.id for m in members if m.is_knee),
        "front": [m.candidate.id for m in members],
        "reference": REFERENCE.values,
        "objectives": [encode(objective) for objective in OBJECTIVES],
        "evaluations": [evaluation.as_dict() for evaluation in evaluations],
    }


if __name__ == "__main__":
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(json.dumps(golden(), indent=1) + "\n", encoding="utf-8")
    print(f"Written: {GOLDEN}")
