"""The records of a study as what MLflow stores: metrics by step, and parameters that are texts."""

from __future__ import annotations

import math
from typing import Any

from archfront.search.latency.tiled import latency_of_run
from archfront.search.records.evaluation import SOMETIMES, Evaluation, Measurement, Trained
from archfront.search.records.refit_records import Refit
from archfront.search.tracking.mlflow_client import MetricRow


def evaluation_metrics(evaluation: Evaluation, below: int) -> list[MetricRow]:
    """Return the metrics of an evaluation.

    Those per epoch have the epoch as their step, the others the rung, counted from 0.

    Args:
        evaluation: What is written.
        below: Epochs of the rung below, which are written already; -1 below the lowest.
    """
    start, end = times_ms(evaluation)
    rows: list[MetricRow] = []
    measured = evaluation.measurement
    if measured is not None and evaluation.rung == 0:
        rows += cost_metrics(measured, start)
    if isinstance(evaluation.outcome, Trained):
        trained = evaluation.outcome
        curve = tuple(row for row in trained.curve if row["epoch"] > below)
        rows += _curve_metrics(curve, "val", end)
        values = {
            "metric": trained.metric,
            "metric_low": trained.metric_low,
            "metric_high": trained.metric_high,
            "train_s": trained.seconds,
            **({"micro_batch": trained.micro_batch} if trained.micro_batch is not None else {}),
        }
        rows += [(name, value, end, evaluation.rung) for name, value in values.items()]
    return rows


def cost_metrics(measured: Measurement, at: int) -> list[MetricRow]:
    """Return what an architecture costs, as far as it is known.

    Args:
        measured: The measurement.
        at: Milliseconds since the epoch; of two values of a metric, MLflow shows the later one.
    """
    values = {
        "latency_ms": measured.latency.p50_ms,
        "latency_p95_ms": measured.latency.p95_ms,
        "latency_spread": measured.latency.spread,
        "params_m": measured.params_m,
        "macs_g": measured.macs_g,
        "size_mb": measured.size_mb,
    }
    if measured.latency.tiles is not None:
        values["latency_tiles"] = measured.latency.tiles.n
        values["latency_tile_ms"] = latency_of_run(measured.latency).p50_ms
    values |= {name: measured.value(name) for name in SOMETIMES if measured.has([name])}
    return [(name, value, at, 0) for name, value in values.items() if not math.isnan(value)]


def refit_metrics(refit: Refit, end: int) -> list[MetricRow]:
    """Return the curve of a full training by epoch, and the metrics of its kept weights.

    Args:
        refit: What is written.
        end: Milliseconds since the epoch when it ended.
    """
    values = {"best_epoch": refit.best_epoch, "train_s": refit.seconds}
    for split, scores in refit.metrics.items():
        values |= {f"{split}_{name}": value for name, value in scores.items()}
    for split, (low, high) in refit.intervals.items():
        values |= {f"{split}_low": low, f"{split}_high": high}
    kept = [(name, float(value), end, 0) for name, value in values.items()]
    return [*_curve_metrics(refit.curve, "curve", end), *kept]


def _curve_metrics(curve: tuple[dict[str, Any], ...], prefix: str, end: int) -> list[MetricRow]:
    """Return loss, learning rate and metrics of each epoch, which is their step."""
    rows: list[MetricRow] = []
    for row in curve:
        values = {"train_loss": row["train_loss"], "lr": row["lr"]}
        values |= {f"{prefix}_{name}": value for name, value in row["metrics"].items()}
        rows += [(name, value, end, int(row["epoch"])) for name, value in values.items()]
    return rows


def times_ms(evaluation: Evaluation) -> tuple[int, int]:
    """Return when an evaluation began and ended, in milliseconds since the epoch."""
    start = evaluation.started
    return int(start * 1000), int((start + evaluation.seconds) * 1000)


def flat(content: dict[str, Any], path: str = "") -> dict[str, Any]:
    """Return the leaves of nested content by dotted path."""
    leaves: dict[str, Any] = {}
    for key, value in content.items():
        here = f"{path}.{key}" if path else key
        leaves |= flat(value, here) if isinstance(value, dict) else {here: value}
    return leaves


def params(values: dict[str, Any]) -> dict[str, str]:
    """Return parameters as texts, cut where MLflow takes no longer ones."""
    return {name: str(value)[:6000] for name, value in values.items()}
