"""A measurement with its key, for tables of latencies."""

from __future__ import annotations

from dataclasses import replace

from archfront.search.latency.database import LatencyKey
from archfront.trainers.spec import Architecture
from tests.support import recorded_study

ARCHITECTURE = Architecture("classification", "resnet18", "avg", 32, classes=10, channels=3)
KEY = LatencyKey(
    device="cpu-1234",
    runtime="onnxruntime",
    runtime_version="1.32.0",
    threads=1,
    batch_size=1,
    precision="fp32",
    timm_version="1.0.31",
    architecture=ARCHITECTURE,
)
MEASURED = recorded_study.measurement(1.25, params_m=11.2)
# Another value for every part of the key.
CHANGES = {
    "device": "cpu-5678",
    "runtime": "eager",
    "runtime_version": "1.33.0",
    "threads": 2,
    "batch_size": 8,
    "precision": "int8",
    "timm_version": "1.0.32",
    "affinity": (0, 1),
    "architecture": replace(ARCHITECTURE, fused=True),
}
