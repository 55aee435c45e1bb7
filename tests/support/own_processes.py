"""Programs in processes of their own, and the words of a study that they run in seconds."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Words of a study in the smallest of spaces, for any small dataset of labels.
SMALLEST = (
    "space.backbones=test_resnet",
    "space.exclude=[]",
    "space.heads=avg",
    "space.input_sizes=8,16,24",
    "space.weights=none",
    "space.recipe.lr=0.003",
    "space.recipe.augment=none",
    "task.epochs=1",
    "budget.trials=2",
    "engine.threads=1",
    "hardware.max_seconds=0.1",
)
# Those of a study of the digits, in as few images as a class needs.
TINY = (
    "experiment=digits",
    "data.train=120",
    "data.val=90",
    "data.test=90",
    *(word for word in SMALLEST if word != "space.weights=none"),
    "space.input_sizes=8,16",
    "budget.trials=1",
    "budget.folds=0",
)


def ran(words: list[str], environment: dict[str, str], folder: Path | None = None) -> str:
    """Return what a program prints, in a process of its own that succeeds."""
    ended = subprocess.run(
        words,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout
