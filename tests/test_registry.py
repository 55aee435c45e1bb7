"""Members as versions of a registered model in MLflow, loaded and served as anybody would."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import small_member
import small_refits
from command import Output, fails
from mlflow import MlflowClient

from search.cli import main
from search.export.formats import formats_named
from search.export.order import Order
from search.export.ship import export_member
from search.predict.answer import answer
from search.predict.predictor import open_predictor
from search.tracking import default_uri
from trainers.tasks import TASKS

# MLflow's scoring server and pyfunc, seeing nothing of this repository.
LOAD = """
import base64, json, sys
import mlflow, pandas as pd
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model(sys.argv[2])
image = base64.b64encode(open(sys.argv[3], "rb").read()).decode()
rows = model.predict(pd.DataFrame({"image": [image, image]})).to_dict("records")
assert rows[0] == rows[1]
assert "torch" not in sys.modules and "pytorch_lightning" not in sys.modules
print(json.dumps(rows[0]))
"""
SERVE = """
import base64, json, sys
import mlflow
from mlflow.pyfunc import scoring_server
from fastapi.testclient import TestClient
app = scoring_server.init(mlflow.pyfunc.load_model(sys.argv[1]))
image = base64.b64encode(open(sys.argv[2], "rb").read()).decode()
body = {"dataframe_split": {"columns": ["image"], "data": [[image]]}}
answered = TestClient(app).post("/invocations", json=body)
assert answered.status_code == 200, answered.text
print(json.dumps(answered.json()["predictions"][0]))
"""


def alone(program: str, *words: str) -> dict[str, object]:
    """Return what a program prints last that sees nothing of this repository."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    ended = subprocess.run(
        [sys.executable, "-c", program, *words],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    assert ended.returncode == 0, ended.stderr
    said: dict[str, object] = json.loads(ended.stdout.splitlines()[-1])
    return said


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_pyfunc_says_what_predict_says_for_every_task(task: str, tmp_path: Path) -> None:
    study = small_member.study(task, tmp_path)
    member = small_member.member(small_member.candidate(task), tmp_path / "weights")
    order = Order(tuple(formats_named(["mlflow"])), is_timed=False)
    export_member(study, member, order, tmp_path / "export")
    folder = tmp_path / "export" / "mlflow"
    picture = small_member.picture(tmp_path)
    said = alone(LOAD, f"sqlite:///{tmp_path}/none.db", str(folder), str(picture))
    with open_predictor(tmp_path / "export", "onnx") as predictor:
        from search.predict.answer import Asked

        outputs = predictor.outputs(small_member.resized(predictor, picture))
        one = {name: output[0] for name, output in outputs.items()}
        manifest = predictor.manifest
    asked = Asked(one, 90, 60, manifest, manifest.thresholds["score"])
    assert said == json.loads(json.dumps(answer(asked)))
    assert alone(SERVE, str(folder), str(picture)).keys() == said.keys()
    assert [p for p in folder.rglob("*") if p.suffix in (".pkl", ".pickle")] == []
    assert "image" in json.loads((folder / "input_example.json").read_text())["columns"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "studies"


@pytest.mark.slow
def test_members_become_versions_under_their_names(
    root: Path, capsys: Output, tmp_path: Path
) -> None:
    small_refits.write(root)
    words = ["register", "digits", "--root", str(root), "--name", "figures", "--proxy"]
    assert main(words) == 0
    # MLflow's bars go to the standard error that is closed to it, which capsys stands before.
    said = capsys.readouterr().out
    assert "models:/figures@fastest is version 1" in said
    assert "models:/figures@best is version 2" in said
    client = MlflowClient(default_uri(root))
    best = client.get_model_version_by_alias("figures", "best")
    assert best.tags["archfront.trial"] == "1"
    assert best.tags["archfront.candidate_id"] == small_refits.evaluations()[1].candidate.id
    assert {"val_accuracy", "latency_p50_ms", "latency_device", "parity"} <= best.tags.keys()
    picture = small_member.picture(tmp_path)
    found = alone(LOAD, default_uri(root), "models:/figures@best", str(picture))
    assert found.keys() == {"label", "score", "probabilities"}
    # Again: nothing new, and the names stand where they stood.
    assert main(words) == 0
    assert "version 2 of figures" in capsys.readouterr().out
    assert len(client.search_model_versions("name = 'figures'")) == 2


def test_a_name_that_mlflow_refuses_is_told_before_anything_is_exported(
    root: Path, capsys: Output
) -> None:
    small_refits.write(root)
    words = ("register", "digits", "--root", str(root), "--name", "a/b", "--proxy")
    said = fails(capsys, 1, *words)
    assert said.startswith("MLflow does not take 'a/b' as the name of a model:")
    assert said.endswith("Give another one with --name.")


def test_a_member_without_a_refit_is_told_before_anything_is_made(
    root: Path, capsys: Output
) -> None:
    small_refits.write(root)
    said = fails(capsys, 1, "register", "digits", "--root", str(root))
    assert "archfront refit digits --members 0" in said
    assert not (root / "mlflow.db").exists()


def test_what_is_no_image_gets_one_error(tmp_path: Path) -> None:
    from search.errors import ArtifactError
    from search.predict.served import Served

    study = small_member.study("classification", tmp_path)
    member = small_member.member(small_member.candidate("classification"), tmp_path / "weights")
    order = Order(tuple(formats_named(["onnx"])), is_timed=False)
    export_member(study, member, order, tmp_path / "export")
    served = Served()
    served.open(tmp_path / "export")
    right = base64.b64encode(small_member.picture(tmp_path).read_bytes()).decode()
    answered = served.predict(None, pd.DataFrame({"image": [right]}))
    assert answered.columns.tolist() == ["label", "score", "probabilities"]
    for wrong in ("no base64!", base64.b64encode(b"no image").decode()):
        with pytest.raises(ArtifactError, match=r"The column 'image' needs image files"):
            served.predict(None, pd.DataFrame({"image": [wrong]}))
