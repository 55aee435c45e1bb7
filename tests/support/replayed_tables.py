"""Drawn tables for the replay benchmark."""

from __future__ import annotations

import csv
import gzip
import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

N_ROWS = 30
KINDS = ("bare", "plain", "zoo", "grid")
Rows = list[dict[str, Any]]


def drawn_rows(kind: str) -> Rows:
    """Return rows of which the larger are slower and mostly better."""
    rng = np.random.default_rng(3)
    macs = np.sort(rng.uniform(4, 7, N_ROWS))
    rows: Rows = [
        {
            "id": f"net{i}",
            "accuracy": round(float(20 + 8 * macs[i] + rng.normal(0, 5)), 3),
            "latency_ms": round(float(np.exp(macs[i] - 4)), 4),
        }
        for i in range(N_ROWS)
    ]
    cells = list(product("abcde", "xyz", "01"))
    for i, row in enumerate(rows):
        if kind in ("zoo", "plain"):
            row |= {"n_log_params": macs[i] + rng.normal(), "n_log_macs": macs[i]}
        if kind == "zoo":
            row |= {"prior": row["accuracy"] + 5, "c_family": f"f{i % 4}", "c_pretrain": "in1k"}
        if kind == "grid":
            row |= dict(zip(("c_e0", "c_e1", "c_e2"), cells[i], strict=True))
            row |= {"accuracy_low": row["accuracy"] / 2, "n_log_macs": macs[i]}
        if kind == "plain":
            row |= {"train_s": 100.0 + i}
    return rows


def write(folder: Path, name: str, rows: Rows, **task: Any) -> None:
    """Write a table and its entry in tasks.json."""
    with gzip.open(folder / f"{name}.csv.gz", "wt", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    tasks = folder / "tasks.json"
    known = json.loads(tasks.read_text()) if tasks.is_file() else {}
    known[name] = {"ref_accuracy": 30.0, "latency_scale": "log", **task}
    tasks.write_text(json.dumps(known))
