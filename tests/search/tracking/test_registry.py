"""Members as versions of a registered model in MLflow, loaded and served as anybody would."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pandas as pd
import pytest
from mlflow import MlflowClient

from archfront.search.cli import main
from archfront.search.export.export_request import ExportRequest
from archfront.search.predict.answer import answer
from archfront.search.predict.manifest import Artifact, Input, Manifest, sha256_of
from archfront.search.predict.predictor import open_predictor
from archfront.search.prepare.recorded import Study
from archfront.search.results.results import Results
from archfront.search.results.select_members import Member
from archfront.search.tracking.tracker import default_uri
from archfront.trainers.data import Preprocess
from archfront.trainers.tasks import TASKS
from tests.support import small_member, small_refits
from tests.support.command import Output, fails
from tests.support.programs import SCORING, Programs
from tests.support.shared_exports import SharedExports
from tests.support.waiting import eventually

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
# The same, and what the scoring server says of the model.
SERVE = f"""{LOAD}
from mlflow.pyfunc import scoring_server
from fastapi.testclient import TestClient
app = scoring_server.init(mlflow.pyfunc.load_model(sys.argv[2]))
body = {{"dataframe_split": {{"columns": ["image"], "data": [[image]]}}}}
answered = TestClient(app).post("/invocations", json=body)
assert answered.status_code == 200, answered.text
print(json.dumps(answered.json()["predictions"][0]))
"""


def alone(programs: Programs, program: str, *words: str) -> dict[str, object]:
    """Return what a program prints last that sees nothing of this repository."""
    said: dict[str, object] = json.loads(
        programs.run(program, *words, imports=SCORING).splitlines()[-1]
    )
    return said


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_pyfunc_says_what_predict_says_for_every_task(
    task: str, exports: SharedExports, programs: Programs, tmp_path: Path
) -> None:
    folder = exports.of(task) / "mlflow"
    picture = small_member.picture(tmp_path)
    uri = f"sqlite:///{tmp_path}/none.db"
    lines = programs.run(SERVE, uri, str(folder), str(picture), imports=SCORING).splitlines()
    said, said_by_server = map(json.loads, lines[-2:])
    with open_predictor(exports.of(task), "onnx") as predictor:
        from archfront.search.predict.answer import PredictedImage

        outputs = predictor.outputs(small_member.resized(predictor, picture))
        one = {name: output[0] for name, output in outputs.items()}
        manifest = predictor.manifest
    asked = PredictedImage([one], 90, 60, manifest, manifest.thresholds["score"])
    assert said == json.loads(json.dumps(answer(asked)))
    assert said_by_server == said
    assert [p for p in folder.rglob("*") if p.suffix in (".pkl", ".pickle")] == []
    assert (folder / "code" / "archfront" / "search" / "predict" / "served.py").is_file()
    assert not [p for p in folder.rglob("*") if p.is_symlink()]
    assert "image" in json.loads((folder / "input_example.json").read_text())["columns"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "studies"


@pytest.mark.slow
def test_members_become_versions_under_their_names(
    root: Path,
    capsys: Output,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    programs: Programs,
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
    found = alone(programs, LOAD, default_uri(root), "models:/figures@best", str(picture))
    assert found.keys() == {"label", "score", "probabilities"}
    # Again: nothing new is made, and the names stand where they stood.
    monkeypatch.setattr("archfront.search.export.ship.export_member", refuse)
    assert main(words) == 0
    assert "version 2 of figures (was there)" in capsys.readouterr().out
    assert len(client.search_model_versions("name = 'figures'")) == 2


def refuse(*given: object, **options: object) -> None:
    raise AssertionError("it was exported again")


class Exported:
    """Stands for exports: a folder with a file in it, as many as are let through."""

    def __init__(self, n: int, marks: tuple[str, ...] = ()) -> None:
        self.left, self.marks = n, marks

    def __call__(
        self, study: Study, member: Member, order: ExportRequest, folder: Path, **options: object
    ) -> Manifest:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        (folder / "mlflow").mkdir(parents=True)
        (folder / "mlflow" / "MLmodel").write_text("")
        candidate = member.evaluation.candidate
        made = Artifact(
            format="mlflow",
            opener="onnx",
            input=Input("images", "float32", 1, (1, 8, 8)),
            file="mlflow/MLmodel",
            files={},
            precision="fp32",
            runtime="onnxruntime 1",
            size_mb=1.0,
            parity=0.0,
            metrics={"accuracy": 0.5},
            lost=0.0,
            marks=self.marks,
        )
        return Manifest(
            study=study.config.study,
            trial=member.evaluation.trial,
            candidate_id=candidate.id,
            candidate=candidate.as_dict(),
            task="classification",
            class_names=("a",),
            preprocess=Preprocess(8, 1, (0.5,), (0.5,)),
            output_names=("probabilities",),
            decode="",
            thresholds={},
            metric="accuracy",
            metrics={"accuracy": 0.5},
            weights={**member.origin, "sha256": sha256_of(member.weights)},
            data={},
            licence="",
            versions={},
            created="",
            artifacts={"mlflow": made},
        )


def named(root: Path) -> dict[str, str]:
    aliases = MlflowClient(default_uri(root)).get_registered_model("digits").aliases
    return {name: str(version) for name, version in aliases.items()}


@pytest.fixture
def registered(
    root: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> tuple[Results, list[str]]:
    """Return a study both of whose members are versions by their proxies, and the command."""
    found = small_refits.write(root)
    words = ["register", "digits", "--root", str(root)]
    monkeypatch.setattr("archfront.search.export.ship.export_member", Exported(2))
    assert main([*words, "--proxy"]) == 0
    capsys.readouterr()
    return found, words


@pytest.mark.slow
def test_names_move_only_when_every_version_is_there(
    registered: tuple[Results, list[str]],
    root: Path,
    capsys: Output,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Served by their names, versions of two fronts would have stood beside each other."""
    found, words = registered
    before = named(root)
    assert before["fastest"] == "1"
    assert before["best"] == "2"
    # Refitted since, and interrupted after the first of two.
    for trial in (0, 1):
        small_refits.write_refits(found, trial, [0.8])
    monkeypatch.setattr("archfront.search.export.ship.export_member", Exported(1))
    assert main(words) == 130
    assert named(root) == before
    assert len(MlflowClient(default_uri(root)).search_model_versions("name = 'digits'")) == 3
    # The same command makes what is left, and then all names move.
    monkeypatch.setattr("archfront.search.export.ship.export_member", Exported(1))
    assert main(words) == 0
    assert {named(root)["fastest"], named(root)["best"]} == {"3", "4"}
    assert "version 3 of digits (was there)" in capsys.readouterr().out
    # A part of the members: the others are known and keep their names.
    monkeypatch.setattr("archfront.search.export.ship.export_member", refuse)
    assert main([*words, "--members", "fastest"]) == 0
    assert "models:/digits@best is version 4" in capsys.readouterr().out


@pytest.mark.slow
def test_a_name_whose_member_is_not_registered_stays_and_is_told(
    registered: tuple[Results, list[str]], capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, words = registered
    small_refits.write_refits(found, 0, [0.8])
    monkeypatch.setattr("archfront.search.export.ship.export_member", Exported(1))
    assert main([*words, "--members", "fastest"]) == 0
    said = capsys.readouterr().out
    assert "models:/digits@fastest is version 3" in said
    assert "models:/digits@best stays version 2: trial 1, which is that now, has no v" in said


@pytest.mark.slow
def test_what_loses_too_much_is_not_registered(
    root: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_refits.write(root)
    mark = "loses 5.00% of its accuracy (0.8000 to 0.7600); 0.10% is allowed"
    monkeypatch.setattr("archfront.search.export.ship.export_member", Exported(2, (mark,)))
    assert main(["register", "digits", "--root", str(root), "--proxy"]) == 1
    assert f"trial 0 not registered: {mark}" in capsys.readouterr().out
    assert named(root) == {}


@pytest.mark.slow
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


@pytest.mark.slow
def test_what_is_no_image_gets_one_error(exports: SharedExports, tmp_path: Path) -> None:
    from mlflow.exceptions import MlflowException

    from archfront.search.predict.served import Served

    served = Served()
    served.open(exports.served("classification"))
    right = base64.b64encode(small_member.picture(tmp_path).read_bytes()).decode()
    answered = served.predict(None, pd.DataFrame({"image": [right]}))
    assert answered.columns.tolist() == ["label", "score", "probabilities"]
    for wrong in ("no base64!", base64.b64encode(b"no image").decode()):
        with pytest.raises(MlflowException, match=r"The column 'image' needs image files"):
            served.predict(None, pd.DataFrame({"image": [wrong]}))


@pytest.mark.slow
def test_mlflow_models_serve_answers_as_pyfunc_does(
    exports: SharedExports, programs: Programs, tmp_path: Path
) -> None:
    """The real server in its own process, of the environment that the tests run in.

    What it answers for every task is compared above, without waiting for the server to start.
    """
    folder = exports.of("detection") / "mlflow"
    picture = small_member.picture(tmp_path)
    image = base64.b64encode(picture.read_bytes()).decode()
    body = {"dataframe_split": {"columns": ["image"], "data": [[image]]}}
    with served(folder, tmp_path / "server.log") as address:
        said = asked(f"{address}/invocations", json.dumps(body).encode())
        wrong = {"dataframe_split": {"columns": ["image"], "data": [["no base64!"]]}}
        with pytest.raises(HTTPError) as refused:
            asked(f"{address}/invocations", json.dumps(wrong).encode())
        assert refused.value.code == 400
        message = refused.value.read().decode()
        assert "needs image files (PNG, JPEG, ...) in base64. row 0: it is no base64" in message
        assert "site-packages" not in message
        assert str(folder) not in message
        both = {"dataframe_split": {"columns": ["image"], "data": [["no base64!"], [image]]}}
        first, second = asked(f"{address}/invocations", json.dumps(both).encode())["predictions"]
        assert first["error"].startswith("it is no base64")
        assert second == {**said["predictions"][0], "error": None}
    uri = f"sqlite:///{tmp_path}/none.db"
    assert said["predictions"] == [alone(programs, LOAD, uri, str(folder), str(picture))]


@contextmanager
def served(model: Path, log: Path) -> Iterator[str]:
    """Start ``mlflow models serve`` on a free port, give its address, and end it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    # The server's own processes are found by the PATH.
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    words = ["serve", "--model-uri", str(model), "--port", str(port), "--env-manager", "local"]
    with log.open("w") as file:
        server = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "models", *words, "--workers", "1"],
            env=environment,
            stdout=file,
            stderr=file,
            cwd="/",
            start_new_session=True,
        )
        try:
            wait_for(f"http://127.0.0.1:{port}/ping", server, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(20)


def wait_for(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until an address answers."""

    def answers() -> bool:
        assert server.poll() is None, log.read_text()
        with suppress(OSError), urlopen(address, timeout=5):
            return True
        return False

    eventually(answers, log.read_text)


def asked(address: str, body: bytes) -> dict[str, object]:
    """Return the JSON that an address answers to JSON."""
    request = Request(address, body, {"Content-Type": "application/json"})
    with urlopen(request, timeout=60) as answered:
        said: dict[str, object] = json.load(answered)
    return said
