"""Latencies by formula, as answers to the verb ``latency``."""

from __future__ import annotations

from archfront.search.commands import latency_measure
from archfront.search.engine.jobs import Job
from archfront.search.errors import ExportError
from archfront.search.jobs.perform import MeasureRequest
from archfront.search.latency.device import fingerprint
from archfront.search.records.evaluation import Latency, Measurement

# Six architectures, of which the fake below cannot export the two of the vit.
WORDS = (
    "measure",
    "hardware=cpu_eager",
    "engine=inline",
    "space.backbones=test_resnet,test_vit,test_efficientnet",
    "space.exclude=",
    "space.heads=avg",
    "space.input_sizes=32,64",
)


class Answers:
    """Measures by formula; notes what it was asked, and can be interrupted."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.stop_at: int | None = None
        self.crashing = ""

    def __call__(self, job: Job) -> Measurement:
        request = job.payload
        assert isinstance(request, MeasureRequest)
        assert job.is_exclusive
        if len(self.asked) == self.stop_at:
            raise KeyboardInterrupt
        a, settings = request.architecture, request.settings
        self.asked.append(latency_measure.label(a))
        if self.crashing:
            raise RuntimeError(self.crashing)
        if a.backbone == "test_vit":
            raise ExportError("test_vit cannot be exported.\nmany lines follow")
        ms = a.input_size / 16
        latency = Latency(
            ms, ms, 0.01, 50, 10, settings.threads, 1, settings.runtime, "2", "fp32",
            fingerprint().id, "none", a.input_size < 64,
        )  # fmt: skip
        return Measurement(latency, 1.5, ms / 10, 6.0, 2.0)
