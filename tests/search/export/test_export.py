"""Every format for every task: written, compared, scored, timed; and what an export refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from archfront.search.commands.export import others
from archfront.search.errors import ArtifactError, ConfigError, StudyError
from archfront.search.export.export_request import ExportRequest
from archfront.search.export.scoring import score_outputs
from archfront.search.export.ship import export_member
from archfront.search.formats import graphs
from archfront.search.formats.formats import FORMATS, Format, formats_named
from archfront.search.formats.source import Graph, load_source
from archfront.search.front.members import build_front
from archfront.search.predict.manifest import Manifest, read_manifest
from archfront.search.predict.predictor import open_predictor
from archfront.search.prepare.data_reference import data_ref
from archfront.search.records.evaluation import Evaluation
from archfront.trainers.data import ImageSet, load
from archfront.trainers.tasks import TASKS
from tests.support import small_member
from tests.support.programs import MLFLOW, TORCH, TRANSFORMERS, Programs
from tests.support.recorded_study import OBJECTIVES, candidate, trained
from tests.support.shared_exports import SharedExports
from tests.support.study_headers import with_other_data

# A classifier is exported in a few seconds, the others take longer.
CASES = [
    pytest.param(task, name, marks=[] if task == "classification" else [pytest.mark.slow])
    for task in TASKS
    for name in FORMATS
]
# What a program imports that takes longest.
IMPORTS = {
    "onnx": ("onnxruntime",),
    "onnx-int8": ("onnxruntime",),
    "openvino": ("openvino",),
    "openvino-int8": ("openvino",),
    "torchscript": TORCH,
    "torch-export": TORCH,
    "hf": TRANSFORMERS,
    "mlflow": MLFLOW,
}
PROGRAMS = [
    pytest.param(
        task,
        name,
        marks=[]
        if task == "classification" and name in ("onnx", "openvino")
        else [pytest.mark.slow],
    )
    for task in TASKS
    for name in FORMATS
]
FLOAT32 = ("onnx", "openvino", "torchscript", "torch-export")
UNTIMED = ExportRequest((FORMATS["onnx"],), is_timed=False)


def exported(task: str, folder: Path, request: ExportRequest, **changes: object) -> Manifest:
    of = small_member.candidate(task, **changes)
    study = small_member.study(task, folder / "root")
    member = small_member.member(of, folder / "weights")
    return export_member(study, member, request, folder / "export")


def noted(tried: list[str], name: str, exporter: Callable[..., None]) -> Callable[..., None]:
    """Return an exporter that notes its name when it is called."""

    def export(*given: object, **options: object) -> None:
        tried.append(name)
        exporter(*given, **options)

    return export


@pytest.fixture(scope="module")
def of_graph(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Graph], Path]:
    """Return the export of a task's graph in several formats at once."""

    @cache
    def once(task: str, graph: Graph) -> Path:
        folder = tmp_path_factory.mktemp("of-graph")
        names = FLOAT32 if graph.batch is None else (*FLOAT32, "onnx-int8")
        request = ExportRequest(tuple(FORMATS[name] for name in names), graph, is_timed=False)
        tried: list[str] = []
        with pytest.MonkeyPatch.context() as patch:
            for name, exporter in list(graphs.EXPORTERS.items()):
                patch.setitem(graphs.EXPORTERS, name, noted(tried, name, exporter))
            assert exported(task, folder, request).failed == {}
        assert tried == list(dict.fromkeys(tried)), "one graph is what all formats are made from"
        return folder / "export"

    return once


class TestFormatContract:
    @pytest.mark.slow
    @pytest.mark.parametrize(("task", "name"), CASES)
    def test_an_artifact_computes_and_scores_what_the_checkpoint_does(
        self, task: str, name: str, exports: SharedExports
    ) -> None:
        manifest = read_manifest(exports.of(task))
        if FORMATS[name].refuses(small_member.candidate(task).architecture) is not None:
            assert name not in manifest.artifacts
            assert "cannot go to" in manifest.failed[name]
            return
        assert name not in manifest.failed
        artifact = manifest.artifacts[name]
        assert artifact.latency is not None
        assert artifact.latency["p50_ms"] > 0
        assert artifact.metrics.keys() == manifest.metrics.keys()
        if artifact.precision == "fp32":
            assert artifact.parity < 1e-3
            metric = manifest.metric
            assert artifact.metrics[metric] == pytest.approx(manifest.metrics[metric], abs=1e-3)
            assert artifact.marks == ()
        else:
            float32 = manifest.artifacts[name.removesuffix("-int8")]
            assert float32.precision == "fp32"
            assert artifact.size_mb < float32.size_mb
            assert artifact.parity > 0

    @pytest.mark.slow
    @pytest.mark.parametrize(("task", "name"), PROGRAMS)
    def test_its_program_runs_without_this_package(
        self, task: str, name: str, exports: SharedExports, programs: Programs, tmp_path: Path
    ) -> None:
        if FORMATS[name].refuses(small_member.candidate(task).architecture) is not None:
            pytest.skip("it cannot go there")
        picture = small_member.picture(tmp_path)
        program = exports.of(task) / f"predict_{name.replace('-', '_')}.py"
        assert len(program.read_text().splitlines()) <= 40
        said = programs.run(program, str(picture), imports=IMPORTS[name], folder=program.parent)
        if task == "classification":
            with open_predictor(exports.of(task), name) as predictor:
                outputs = predictor.outputs(small_member.resized(predictor, picture))
            best = int(outputs["probabilities"][0].argmax())
            assert predictor.manifest.class_names[best] in said
        if task in ("classification", "multilabel", "semantic"):
            assert str(picture) in said or "probabilities" in said


@pytest.mark.slow
@pytest.mark.parametrize("name", FLOAT32)
@pytest.mark.parametrize("task", ["classification", "multilabel", "semantic"])
def test_a_dynamic_batch_takes_any_number_of_images(
    task: str, name: str, of_graph: Callable[[str, Graph], Path]
) -> None:
    export = of_graph(task, Graph(batch=None))
    manifest = read_manifest(export)
    assert manifest.artifacts[name].input.batch is None
    assert manifest.artifacts[name].parity < 1e-3
    with open_predictor(export, name) as predictor:
        size = manifest.preprocess.input_size
        images = np.random.default_rng(0).integers(0, 256, (5, 3, size, size), np.uint8)
        together = predictor.outputs(images)
        alone = [predictor.outputs(images[i : i + 1]) for i in range(5)]
    for name_of_output, values in together.items():
        single = np.concatenate([one[name_of_output] for one in alone])
        assert values.shape == single.shape
        assert np.isfinite(values).all()


@pytest.mark.slow
@pytest.mark.parametrize("task", ["detection", "instance"])
def test_a_detector_has_a_fixed_batch_and_says_so(task: str, tmp_path: Path) -> None:
    """Every exporter was tried for half a minute, and refused with a message of its own."""
    with pytest.raises(ConfigError, match=r"--dynamic-batch: .* Give it with --batch N\."):
        exported(task, tmp_path, ExportRequest((FORMATS["onnx"],), Graph(batch=None)))
    manifest = exported(task, tmp_path, replace(UNTIMED, graph=Graph(batch=2)))
    assert manifest.artifacts["onnx"].input.batch == 2
    assert manifest.artifacts["onnx"].parity < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("name", [*FLOAT32, "onnx-int8"])
def test_a_graph_that_normalizes_takes_pixels(
    name: str, of_graph: Callable[[str, Graph], Path]
) -> None:
    manifest = read_manifest(of_graph("classification", Graph(normalizes=True)))
    artifact = manifest.artifacts[name]
    assert artifact.input.dtype == "uint8"
    if artifact.precision == "fp32":
        assert artifact.parity < 1e-3
        assert artifact.metrics == pytest.approx(manifest.metrics)


def test_a_fixed_batch_is_filled_and_its_filling_left_out(tmp_path: Path) -> None:
    request = ExportRequest((FORMATS["onnx"],), Graph(batch=3), is_timed=False)
    manifest = exported("classification", tmp_path, request)
    assert manifest.artifacts["onnx"].input.batch == 3
    assert manifest.artifacts["onnx"].metrics == pytest.approx(manifest.metrics)


@pytest.mark.slow
def test_the_manifest_says_everything_that_is_known(tmp_path: Path) -> None:
    manifest = exported("detection", tmp_path, UNTIMED)
    written = read_manifest(tmp_path / "export").as_dict()
    assert written == Manifest.from_dict(json.loads(json.dumps(manifest.as_dict()))).as_dict()
    content = json.loads((tmp_path / "export" / "manifest.json").read_text())
    of = small_member.candidate("detection")
    assert content["candidate_id"] == of.id
    assert content["candidate"] == json.loads(json.dumps(of.as_dict()))
    assert content["class_names"] == ["circle", "square", "triangle"]
    assert content["data"]["images"].keys() == {"train", "val", "test"}
    assert 0 < content["thresholds"]["score"] <= 1
    assert content["weights"]["kind"] == "proxy"
    assert {"torch", "timm", "onnxruntime", "python"} <= content["versions"].keys()
    assert content["preprocess"]["resize"] == "pad"
    assert "no license of pretrained weights" in content["licence"]
    assert manifest.artifacts["onnx"].files.keys() == {"onnx/model.onnx"}


@pytest.mark.slow
def test_the_card_shows_every_format_and_what_failed(tmp_path: Path) -> None:
    formats = tuple(formats_named(["onnx", "hf"]))
    manifest = exported("semantic", tmp_path, ExportRequest(formats, is_timed=False))
    card = (tmp_path / "export" / "README.md").read_text()
    assert f"{manifest.artifacts['onnx'].metrics['miou']:.4f}" in card
    assert "not made:" in card
    assert "short proxy training" in card
    assert "legal advice" in (tmp_path / "export" / "LICENSES.md").read_text()


def test_one_that_loses_too_much_is_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its metric is that of a network whose answers are turned round."""

    def wrong(source: object, folder: Path) -> None:
        module = _Reversed(source.module)  # type: ignore[attr-defined]
        traced = torch.jit.trace(module, source.example, check_trace=False)  # type: ignore[attr-defined]
        torch.jit.save(traced, str(folder / "model.pt"))

    entry = replace(FORMATS["torchscript"], write=wrong)
    with pytest.warns(FutureWarning):
        manifest = exported("classification", tmp_path, ExportRequest((entry,), is_timed=False))
    [mark] = manifest.artifacts["torchscript"].marks
    assert mark.startswith("loses ")
    assert "0.10% is allowed" in mark


class _Reversed(torch.nn.Module):
    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(1 - output for output in self.module(images))


def test_a_file_that_computes_something_else_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(module: torch.nn.Module, *others: object, **options: object) -> None:
        right(_Reversed(module), *others, **options)

    right = graphs.EXPORTERS["torchscript"]
    monkeypatch.setitem(graphs.EXPORTERS, "torchscript", wrong)
    monkeypatch.setitem(graphs.EXPORTERS, "dynamo", wrong_exporter)
    manifest = exported("classification", tmp_path, UNTIMED)
    assert "torchscript: it differs from PyTorch by" in manifest.failed["onnx"]
    assert "dynamo: RuntimeError: not today." in manifest.failed["onnx"]
    assert not (tmp_path / "export" / "onnx").exists()


def wrong_exporter(*given: object, **options: object) -> None:
    raise RuntimeError("not today")


@pytest.mark.parametrize(
    ("task", "changes", "reason"),
    [
        ("classification", {"head": "gem"}, "timm cannot rebuild the head 'gem', which is ours"),
        ("classification", {"channels": 1}, "transformers' image processors give three channels"),
        ("detection", {}, "transformers loads classifiers only"),
    ],
)
def test_a_candidate_that_hf_does_not_take_gets_the_reason(
    task: str, changes: dict[str, object], reason: str
) -> None:
    architecture = replace(small_member.candidate(task).architecture, **changes)
    assert reason in str(FORMATS["hf"].refuses(architecture))


@pytest.mark.parametrize(("head", "advised"), [("gem", True), ("fpn", False)])
def test_an_option_is_advised_where_another_head_could_go(
    head: str, advised: bool, tmp_path: Path
) -> None:
    task = "semantic" if head == "fpn" else "classification"
    request = ExportRequest((FORMATS["hf"],), is_timed=False)
    (reason,) = exported(task, tmp_path, request, head=head).failed.values()
    assert ("space.exportable='[hf]' keeps a study to those that can." in reason) == advised


def test_other_names_of_transformers_are_told_its_name() -> None:
    with pytest.raises(ConfigError, match=r"^Unknown format 'huggingface'. It is called hf here"):
        formats_named(["onnx", "huggingface"])


def test_members_that_a_format_takes_are_named_where_it_refuses_another() -> None:
    def colored(trial: int, head: str) -> Evaluation:
        of = candidate(head=head)
        architecture = replace(of.architecture, channels=3)
        return trained(
            trial, 0.5 + trial / 10, 1.0 + trial, of=replace(of, architecture=architecture)
        )

    found = [colored(0, "gem"), colored(1, "avg"), colored(2, "timm")]
    members = build_front(found, OBJECTIVES)
    hf = FORMATS["hf"]
    assert others(members, hf, found[0]) == [
        "hf takes these members, as --member TRIAL: 1 (resnet18@32 avg), 2 (resnet18@32 timm)"
    ]
    assert others(members[:1], hf, found[0]) == ["hf takes no member of this front"]
    assert others(members, hf, found[1]) == []
    assert others(members, FORMATS["onnx"], found[0]) == []


def test_a_folder_with_something_in_it_is_not_written(tmp_path: Path) -> None:
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "mine.txt").write_text("x")
    with pytest.raises(ArtifactError, match=r"holds other files. Give an empty or a new folder"):
        exported("classification", tmp_path, UNTIMED)
    assert [p.name for p in (tmp_path / "export").iterdir()] == ["mine.txt"]


@pytest.mark.slow
def test_an_export_is_replaced_only_when_asked(tmp_path: Path) -> None:
    exported("classification", tmp_path, UNTIMED)
    with pytest.raises(ArtifactError, match=r"holds an export of trial 3 of 'small-"):
        exported("classification", tmp_path, UNTIMED)
    exported("classification", tmp_path, replace(UNTIMED, replaces=True))
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_a_dataset_that_changed_ends_it(tmp_path: Path) -> None:
    study = small_member.study("classification", tmp_path)
    other = replace(study, header=with_other_data(study.header))
    member = small_member.member(small_member.candidate("classification"), tmp_path)
    with pytest.raises(StudyError, match=r"The dataset of the study .* changed since it began"):
        export_member(other, member, UNTIMED, tmp_path / "export")


def test_an_unknown_format_gets_the_names_of_those_there() -> None:
    with pytest.raises(ConfigError, match=r"Unknown format 'onx'\. Did you mean 'onnx'"):
        formats_named(["onnx", "onx"])


def test_a_library_that_is_missing_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    absent = replace(FORMATS["openvino"], libraries=("no-such-library",))
    monkeypatch.setitem(FORMATS, "openvino", absent)
    expected = r"--format openvino: no-such-library is not installed: .*archfront\[openvino\]"
    with pytest.raises(ConfigError, match=expected):
        formats_named(["openvino"])


def test_what_is_packed_comes_with_its_package() -> None:
    assert [entry.name for entry in formats_named(["mlflow"])] == ["onnx", "mlflow"]
    assert all(isinstance(entry, Format) for entry in FORMATS.values())


def test_a_session_is_scored_over_any_split(tmp_path: Path) -> None:
    exported("classification", tmp_path, UNTIMED)
    study = small_member.study("classification", tmp_path)
    dataset = load(data_ref(study.config))
    with open_predictor(tmp_path / "export") as predictor:
        scored = score_outputs(
            predictor.outputs,
            TASKS["classification"],
            dataset,
            predictor.manifest.preprocess,
            batch=predictor.batch,
            split="test",
        )
    assert len(scored.predictions["labels"]) == len(dataset.splits["test"].samples)
    assert scored.metrics.keys() == {"accuracy", "balanced_accuracy", "macro_f1"}


def test_calibration_is_of_training_images(tmp_path: Path) -> None:
    study = small_member.study("classification", tmp_path)
    dataset = load(data_ref(study.config))
    of = small_member.candidate("classification")
    weights = small_member.member(of, tmp_path).weights
    source = load_source(of.architecture, of.weights, weights, dataset, Graph(n_calibration=5))
    train = ImageSet.of(dataset.splits["train"], source.preprocess)
    assert source.calibration.shape == (5, 3, 64, 64)
    assert torch.equal(source.calibration[0], train[0])
    assert torch.equal(source.calibration[-1], train[len(train) - 1])
