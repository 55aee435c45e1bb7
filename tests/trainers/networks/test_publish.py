"""A classifier as a folder that transformers loads by itself, and says the same."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from archfront.search.errors import ArtifactError
from archfront.search.export.export_request import ExportRequest
from archfront.search.export.ship import export_member
from archfront.search.formats.formats import FORMATS
from archfront.search.predict.answer import PredictedImage, answer
from archfront.search.predict.manifest import read_manifest, sha256_of, write_manifest
from archfront.search.predict.predictor import open_predictor
from archfront.search.records.candidate import Candidate
from archfront.trainers.errors import WeightsError
from archfront.trainers.networks.hf.publish import load_published
from tests.support import small_member
from tests.support.programs import TRANSFORMERS, Programs
from tests.support.shared_exports import SharedExports

# What somebody does who has never heard of this package.
PROGRAM = """
import json, sys, torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModelForImageClassification
processor = AutoImageProcessor.from_pretrained(sys.argv[1])
model = AutoModelForImageClassification.from_pretrained(sys.argv[1]).eval()
with torch.no_grad():
    logits = model(**processor(Image.open(sys.argv[2]), return_tensors="pt")).logits[0]
shares = logits.sigmoid() if sys.argv[3] == "multilabel" else logits.softmax(0)
names = [model.config.id2label[i] for i in range(len(shares))]
assert "archfront" not in sys.modules
print(json.dumps([dict(zip(names, shares.tolist())), model.config.problem_type]))
"""


def published(task: str, of: Candidate, folder: Path, exports: SharedExports) -> Path:
    if of == small_member.candidate(task):
        export = exports.of(task)
    else:
        export, member = folder / "export", small_member.member(of, folder / "weights")
        order = ExportRequest((FORMATS["onnx"], FORMATS["hf"]), is_timed=False)
        export_member(small_member.study(task, folder), member, order, export)
    manifest = read_manifest(export)
    assert manifest.failed == {}
    assert manifest.artifacts["hf"].metrics == pytest.approx(manifest.metrics)
    return export


def hub_candidate() -> Candidate:
    of = small_member.candidate("classification")
    architecture = replace(of.architecture, backbone="hf:microsoft/resnet-18", head="timm")
    return replace(of, architecture=architecture)


@pytest.mark.slow  # a process that imports transformers
@pytest.mark.parametrize(
    ("task", "of", "tolerance"),
    [
        ("classification", small_member.candidate("classification"), 1e-5),
        ("classification", small_member.candidate("classification", "test_vit"), 1e-5),
        ("classification", small_member.candidate("classification", head="avgmax"), 1e-5),
        ("multilabel", small_member.candidate("multilabel"), 1e-5),
        # transformers' own processor resizes by another library.
        ("classification", hub_candidate(), 5e-3),
    ],
    ids=["resnet", "vit", "avgmax", "multilabel", "hub"],
)
def test_transformers_alone_gives_the_same_probabilities(
    task: str,
    of: Candidate,
    tolerance: float,
    exports: SharedExports,
    programs: Programs,
    tmp_path: Path,
) -> None:
    export, picture = published(task, of, tmp_path, exports), small_member.picture(tmp_path)
    # safetensors wrote a file that only its owner could read.
    modes = {path.stat().st_mode for path in (export / "hf").iterdir()}
    assert len(modes) == 1
    said = programs.run(PROGRAM, str(export / "hf"), str(picture), task, imports=TRANSFORMERS)
    shares, problem = json.loads(said.splitlines()[-1])
    with open_predictor(export, "onnx") as predictor:
        outputs = predictor.outputs(small_member.resized(predictor, picture))
        one = {name: output[0] for name, output in outputs.items()}
        expected = answer(PredictedImage([one], 90, 60, predictor.manifest, 0.5))["probabilities"]
    assert shares == pytest.approx(expected, abs=tolerance)
    assert problem.startswith("multi" if task == "multilabel" else "single")


@pytest.mark.slow
def test_a_folder_that_lacks_a_layer_gets_one_error(
    exports: SharedExports, tmp_path: Path
) -> None:
    """Transformers draws what is missing from chance, and only warns."""
    export = shutil.copytree(exports.of("classification"), tmp_path / "export")
    file = export / "hf" / "model.safetensors"
    state = load_file(file)
    name = next(iter(state))
    save_file({k: v for k, v in state.items() if k != name}, file, metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"has weights that do not fit its configuration"):
        load_published(export / "hf", "classification")
    manifest = read_manifest(export)
    artifact = manifest.artifacts["hf"]
    files = {path: sha256_of(export / path) for path in artifact.files}
    changed = {**manifest.artifacts, "hf": replace(artifact, files=files)}
    write_manifest(replace(manifest, artifacts=changed), export)
    with pytest.raises(ArtifactError, match=r"cannot be opened: WeightsError"):
        open_predictor(export, "hf")
