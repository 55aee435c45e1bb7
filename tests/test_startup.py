"""What the command loads, in a process of its own: seconds of import that nobody waits for."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import recorded_store
from tests.support.drawn_images import draw_folder
from tests.support.programs import LIGHT, MLFLOW, Programs

# Each takes a second or more to import.
HEAVY = ("torch", "mlflow", "pytorch_lightning", "torchvision", "timm", "onnxruntime", "sklearn")
PROGRAM = """
import sys
from archfront.search.cli import main
status = main(sys.argv[2:])
loaded = [name for name in sys.argv[1].split(",") if name in sys.modules]
assert status == 0, status
assert not loaded, loaded
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("studies")
    recorded_store.write(folder)
    recorded_store.write(folder, "other")
    return folder


@pytest.mark.parametrize(
    "words",
    [
        "--help",
        "--version",
        "list",
        "front flowers",
        "show flowers",
        "run experiment=digits --cfg job",
        "profile task=detection data=shapes data.shapes.images=20",
        "delete other --yes",
    ],
)
def test_it_loads_no_library_that_it_does_not_need(
    root: Path, programs: Programs, words: str
) -> None:
    programs.run(
        PROGRAM,
        ",".join(HEAVY),
        *words.split(),
        imports=LIGHT,
        folder=root,
        environment={
            "ARCHFRONT_ROOT": str(root),
            "ARCHFRONT_DEVICE_DB": str(root / "latency.db"),
        },
        sees_repository=True,
    )


@pytest.mark.slow
def test_a_driver_loads_its_data_and_is_ready_without_torch(
    tmp_path: Path, programs: Programs
) -> None:
    """Its workers need it; the driver would wait for its import and keep its memory."""
    ref = tmp_path / "ref.pickle"
    ref.write_bytes(pickle.dumps(draw_folder(tmp_path / "photos", {"a": 4, "b": 4})))
    program = (
        "import pickle, sys, archfront.search.commands.launch\n"
        "from archfront.search.tracking.mlflow_client import open_client\n"
        "open_client('http://localhost:1')\n"
        "from archfront.trainers.data import load\n"
        "load(pickle.load(open(sys.argv[1], 'rb'))).summary()\n"
        "assert 'torch' not in sys.modules"
    )
    programs.run(program, str(ref), imports=MLFLOW, sees_repository=True)


def test_a_worker_loads_no_engine(programs: Programs) -> None:
    program = (
        "import sys, archfront.search.engine.worker\n"
        "print(*sorted(n for n in sys.modules if 'engine' in n and n.startswith('archfront.')))"
    )
    shown = programs.run(program, imports=LIGHT, sees_repository=True).split()
    parts = ("", ".failures", ".jobs", ".threads", ".worker")
    assert shown == [f"archfront.search.engine{part}" for part in parts]


@pytest.mark.slow
def test_a_report_loads_nothing_heavy_and_keeps_its_fonts_below_the_root(root: Path) -> None:
    """They were kept in the home folder, unless the study had been run by the same process."""
    environment = {**os.environ, "ARCHFRONT_ROOT": str(root), "HOME": str(root / "home")}
    for name in ("MPLCONFIGDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        environment.pop(name, None)
    command = [sys.executable, "-c", PROGRAM, ",".join(HEAVY), "report", "flowers"]
    subprocess.run(command, env=environment, check=True, capture_output=True, cwd=root)
    assert (root / "cache" / "matplotlib").is_dir()
    assert not (root / "home").exists()


ASK = """
import json, sys
from pathlib import Path
from starlette.testclient import TestClient
from archfront.search.service.app import create_app
from archfront.search.service.service_settings import ServiceSettings
app = create_app(ServiceSettings(root=Path(sys.argv[2]), needs_token=False))
client = TestClient(app, base_url="http://localhost")
study = {"name": "new", "choices": {"experiment": "digits"}}
for method, path, body in (
    ("GET", "studies", None), ("GET", "studies/flowers", None), ("POST", "studies/check", study),
    ("POST", "studies", study), ("GET", "options", None), ("GET", "metrics", None),
):
    assert client.request(method, f"/api/v1/{path}", json=body).is_success, path
app.state.service.front("flowers")
loaded = [name for name in sys.argv[1].split(",") if name in sys.modules]
assert not loaded, loaded
"""


def test_a_server_loads_neither_torch_nor_mlflow(tmp_path: Path, programs: Programs) -> None:
    recorded_store.write(tmp_path)
    programs.run(ASK, ",".join(HEAVY), str(tmp_path), imports=LIGHT, sees_repository=True)
