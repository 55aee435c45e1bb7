"""What the job of measuring hands to the measurement."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from archfront.search.engine.worker import exclusive
from archfront.search.jobs import perform
from archfront.search.jobs.perform import MeasureRequest
from archfront.search.latency.key import MeasureSettings
from archfront.trainers.spec import Architecture


def test_a_measurement_is_given_what_stops_the_other_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}

    def note(*arguments: Any, **names: Any) -> None:
        given.update(names)

    monkeypatch.setattr(perform, "measure_architecture", note)
    a = Architecture("classification", "test_resnet", "timm", 32, 10, 3)
    perform.measure(MeasureRequest(a, MeasureSettings("eager", 1, 1, 1, 1), tmp_path / "new"))
    assert given["exclusive"] is exclusive
    assert given["folder"].is_dir()
