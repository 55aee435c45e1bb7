"""The whole chain with networks that are trained on a node without the driver's folders.

``test_sent_study.py`` shows that all of its files are those of a study on one machine.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file

from archfront.search.cli import main
from archfront.search.records.evaluation import Trained
from archfront.search.records.paths import StudyPaths
from archfront.search.records.store import reading
from archfront.search.results.results import Results
from tests.support import forked
from tests.support.command import Output, succeeds
from tests.support.drawn_images import draw_folder
from tests.support.own_processes import SMALLEST
from tests.support.private_nodes import PrivateNode

# A cluster of its own: all of Ray in one process would take longer than all of SLURM beside it.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray study")]

ALONE = ("engine.labels={pool: private}", "engine.device_label={pool: private}")


def test_a_study_is_recorded_refit_and_exported_at_the_driver(
    private_node: PrivateNode, own_folder: Path, capsys: Output
) -> None:
    address = f"engine.address={private_node.address}"
    data, root = private_node.data / "photos", private_node.root / "mlruns"
    draw_folder(data, {"cat": 24, "dog": 24})
    words = ["data=folder", f"data.root={data}", f"tracking.root={root}", "study=photos"]
    words += [*SMALLEST, "hardware.limits.latency_ms=null", "budget.folds=0"]
    shown = succeeds(capsys, "run", *words, "engine=ray", *ALONE, address)
    assert f"gets {data} (48 files, " in shown
    assert "what its jobs write is brought back" in shown
    assert "The study 'photos' is finished: 2 candidates are trained" in shown
    places = StudyPaths(root, "photos")
    found = Results.read(reading(places, None), places).evaluations
    trained = [e.outcome for e in found if isinstance(e.outcome, Trained)]
    assert len(trained) == 2
    assert all((places.folder / outcome.predictions).is_file() for outcome in trained)
    weights = [file for each in trained if (file := places.folder / each.weights).is_file()]
    assert weights  # those of members only are kept
    assert all(load_file(file) for file in weights)
    assert list(places.trials.rglob("gallery.png"))
    assert private_node.work() == []
    assert not list(root.rglob("*.part"))
    refit = ("refit", "photos", "--members", "best", "--epochs", "1", "--seeds", "1")
    with forked.workers():
        assert main([*refit, "--root", str(root)]) == 0
    capsys.readouterr()
    out = own_folder / "exported"
    succeeds(
        capsys, "export", "photos", "--format", "onnx", "--out", str(out), "--root", str(root)
    )
    assert (out / "onnx" / "model.onnx").is_file()
