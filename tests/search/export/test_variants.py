"""Trained members as they may be deployed: what is made, not made again, refused, and said."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from archfront.search.cli import main
from archfront.search.errors import ConfigError, StudyError
from archfront.search.export.make_variants import make_variants
from archfront.search.export.variant_request import VariantRequest, formats_of, sizes_around
from archfront.search.latency.device import fingerprint
from archfront.search.prepare.data_reference import data_ref
from archfront.search.records.evaluation import Evaluation, Failed
from archfront.search.records.paths import StudyPaths
from archfront.search.records.store import driving
from archfront.search.records.variant_records import Scored, Setting, Variant, read, write
from archfront.search.report import pages
from archfront.search.report.document import render
from archfront.search.results.results import Results
from archfront.search.results.select_members import proxy_member
from archfront.search.results.variant_results import resized, summary
from archfront.trainers.tasks import TASKS
from archfront.trainers.training.scoring import score
from tests.support import recorded_study, small_member, small_refits
from tests.support.command import Output, fails, succeeds
from tests.support.study_headers import with_other_data


def here(evaluation: Evaluation) -> Evaluation:
    """Return an evaluation as if it had been measured on this machine."""
    assert evaluation.measurement is not None
    measured = evaluation.measurement
    latency = replace(measured.latency, device=fingerprint().id)
    return replace(evaluation, measurement=replace(measured, latency=latency))


def with_backbone(evaluation: Evaluation, backbone: str, size: int) -> Evaluation:
    architecture = replace(evaluation.candidate.architecture, backbone=backbone, input_size=size)
    return replace(evaluation, candidate=replace(evaluation.candidate, architecture=architecture))


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Results:
    """Return a study of three trials, as if it had run here; its front is trials 0 and 1."""
    evaluations = [here(e) for e in small_refits.evaluations()]
    monkeypatch.setattr(small_refits, "evaluations", lambda: evaluations)
    return small_refits.write(tmp_path / "studies")


def made(
    found: Results,
    trial: int = 1,
    sizes: tuple[int, ...] | None = (8, 16),
    precisions: Sequence[str] = ("fp32",),
    **options: bool,
) -> list[tuple[Variant, bool]]:
    request = VariantRequest(formats_of(["onnxruntime"], precisions), sizes, **options)
    members = [proxy_member(found, trial)]
    return list(make_variants(found, small_refits.study(found), members, request))


def variant(
    found: Results, trial: int, metric: float, p50_ms: float, *, seed: int, **changes: object
) -> Variant:
    """Return a made-up int8 variant with a given number of right predictions."""
    file = found.paths.folder / "variants" / f"{trial}-{metric}-{p50_ms}.npz"
    file.parent.mkdir(exist_ok=True)
    small_refits.write_predictions(file, metric, seed=seed)
    scored = Scored(
        metric=metric,
        metric_low=metric - 0.02,
        metric_high=metric + 0.02,
        metrics={"accuracy": metric},
        measurement=recorded_study.measurement(p50_ms),
        parity=0.1,
        exceeded={},
        predictions=str(file.relative_to(found.paths.folder)),
    )
    return Variant(
        trial=trial,
        candidate_id=small_refits.evaluations()[trial].candidate.id,
        weights="abc",
        setting=Setting("onnxruntime", "int8", round(100 * p50_ms)),
        runtime_version="onnxruntime 1",
        outcome=replace(scored, **changes),
        seconds=1.0,
    )


class TestMaking:
    @pytest.mark.slow
    def test_a_variant_scores_what_its_network_does_at_that_size(self, found: Results) -> None:
        [(at_8, was_there)] = made(found)  # at 16 px it is the trained member itself
        assert not was_there
        assert at_8.setting == Setting("onnxruntime", "fp32", 8)
        assert isinstance(at_8.outcome, Scored)
        member, study = proxy_member(found, 1), small_refits.study(found)
        small = resized(member.evaluation.candidate, 8)
        metrics, _ = score(
            small.architecture,
            member.weights,
            data_ref(study.config),
            split="val",
            preprocess_of=small.weights,
            threads=1,
        )
        assert at_8.outcome.metrics == pytest.approx(metrics)
        assert at_8.outcome.metric_low <= at_8.outcome.metric <= at_8.outcome.metric_high
        assert at_8.outcome.parity < 1e-3
        assert at_8.outcome.measurement.latency.p50_ms > 0
        file = found.paths.folder / at_8.outcome.predictions
        assert f"  {file.name}\n" in (file.parent / "SHA256SUMS").read_text()

    @pytest.mark.slow
    def test_int8_is_another_file_at_the_own_size_too(self, found: Results) -> None:
        variants = [variant for variant, _ in made(found, precisions=("fp32", "int8"))]
        assert [(v.setting.precision, v.setting.input_size) for v in variants] == [
            ("fp32", 8),
            ("int8", 8),
            ("int8", 16),
        ]
        whole, reduced = (v.outcome for v in variants[:2])
        assert isinstance(whole, Scored)
        assert isinstance(reduced, Scored)
        assert reduced.measurement.latency.precision == "int8"
        assert reduced.measurement.size_mb < whole.measurement.size_mb
        assert reduced.parity > whole.parity

    @pytest.mark.slow
    def test_what_was_interrupted_goes_on_where_it_was(
        self, found: Results, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        request = VariantRequest(formats_of(["onnxruntime"], ["fp32", "int8"]), (8,))
        study, member = small_refits.study(found), proxy_member(found, 1)
        first, _ = next(make_variants(found, study, [member], request))
        assert read(found.paths) == [first]
        again = list(make_variants(found, study, [member], request))
        assert [was_there for _, was_there in again] == [True, False]
        assert read(found.paths) == [variant for variant, _ in again]
        monkeypatch.setattr("archfront.search.export.make_variants.load_source", refuse)
        third = list(make_variants(found, study, [member], request))
        assert [variant for variant, _ in third] == [variant for variant, _ in again]
        anew = list(make_variants(found, study, [member], replace(request, again=True)))
        assert [was_there for _, was_there in anew] == [False] * 2
        assert all("made again" in str(v.outcome) for v, _ in anew)

    @pytest.mark.slow
    def test_a_crash_is_tried_again(self, found: Results, monkeypatch: pytest.MonkeyPatch) -> None:
        with monkeypatch.context() as broken:
            broken.setattr("archfront.search.export.make_variants.load_source", refuse)
            [(first, _)] = made(found)
        [(second, was_there)] = made(found)
        assert isinstance(first.outcome, Failed)
        assert first.outcome.kind == "crash"
        assert isinstance(second.outcome, Scored)
        assert not was_there
        assert read(found.paths) == [second]

    @pytest.mark.slow
    def test_a_latency_comes_from_the_table_of_the_device(
        self, found: Results, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        [(first, _)] = made(found)
        monkeypatch.setattr("archfront.search.export.make_variants.measure_architecture", refuse)
        [(second, _)] = made(found, again=True)
        assert isinstance(first.outcome, Scored)
        assert isinstance(second.outcome, Scored)
        assert second.outcome.measurement.latency == replace(
            first.outcome.measurement.latency, source="remembered"
        )

    @pytest.mark.slow
    def test_what_is_over_a_limit_is_marked(self, found: Results) -> None:
        found.begun().hardware["limits"]["size_mb"] = 0.01
        [(over, _)] = made(found)
        assert isinstance(over.outcome, Scored)
        assert over.outcome.exceeded == {"size_mb": (over.outcome.measurement.size_mb, 0.01)}

    def test_another_device_is_refused(self, found: Results) -> None:
        member = proxy_member(found, 1)
        assert member.evaluation.measurement is not None
        far = replace(member.evaluation, measurement=recorded_study.measurement(1.0))
        request = VariantRequest(formats_of(["onnxruntime"], ["fp32"]))
        members = [replace(member, evaluation=far)]
        with pytest.raises(StudyError, match=r"of the device cpu-1234; this one is .* there\."):
            next(make_variants(found, small_refits.study(found), members, request))

    def test_a_dataset_that_changed_ends_it(self, found: Results) -> None:
        other = replace(found, header=with_other_data(found.begun()))
        with pytest.raises(StudyError, match=r"The dataset of the study 'digits' changed"):
            made(other)
        assert read(found.paths) == []


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_variants(task: str, tmp_path: Path) -> None:
    study = small_member.study(task, tmp_path / "root")
    member = small_member.member(small_member.candidate(task), tmp_path / "weights")
    member = replace(member, evaluation=here(member.evaluation))
    places = StudyPaths(tmp_path / "root", "small")
    places.folder.mkdir(parents=True)
    records = Results(places, study.header, "finished", "", [member.evaluation], {})
    request = VariantRequest(formats_of(["onnxruntime"], ["fp32"]), (96,))
    [(made_of, _)] = make_variants(records, study, [member], request)
    assert isinstance(made_of.outcome, Scored)
    larger = resized(member.evaluation.candidate, 96)
    metrics, _ = score(
        larger.architecture,
        member.weights,
        data_ref(study.config),
        split="val",
        preprocess_of=larger.weights,
        threads=1,
    )
    assert made_of.outcome.metrics == pytest.approx(metrics, abs=1e-3)
    assert made_of.outcome.metric_low <= made_of.outcome.metric_high
    assert read(places) == [made_of]


class TestSizes:
    def test_sizes_lie_around_the_own_one(self) -> None:
        of = small_refits.evaluations()[0].candidate.architecture
        assert sizes_around(replace(of, input_size=160)) == (80, 120, 160, 200)

    def test_a_backbone_gets_the_multiples_that_it_takes(self) -> None:
        of = small_refits.evaluations()[0].candidate.architecture
        vit = replace(of, backbone="test_vit", input_size=160)
        assert all(size % 16 == 0 for size in sizes_around(vit))

    def test_a_size_that_the_backbone_does_not_take_is_a_record(self, found: Results) -> None:
        [(refused, _)] = made(found, sizes=(1,))
        assert isinstance(refused.outcome, Failed)
        assert "test_resnet takes any size from" in refused.outcome.message
        assert read(found.paths) == [refused]

    def test_weights_that_are_bound_to_their_size_are_a_record(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        evaluations = [here(e) for e in small_refits.evaluations()]
        evaluations[1] = with_backbone(evaluations[1], "test_vit", 32)
        monkeypatch.setattr(small_refits, "evaluations", lambda: evaluations)
        found = small_refits.write(tmp_path / "studies")
        [(refused, _)] = made(found, sizes=(32, 48))
        assert str(refused.outcome) == (
            "build: The trained weights of test_vit are bound to 32 px and do not fit a network "
            "for 48 px."
        )


def refuse(*given: object, **options: object) -> None:
    raise AssertionError("it was made again")


class TestSummary:
    def test_nothing_is_said_before_the_first_variant(self, found: Results) -> None:
        assert summary(found) is None

    def test_variants_are_compared_with_the_members(self, found: Results) -> None:
        # Members: trial 0 has 0.6 at 0.1 ms, trial 1 has 0.8 at 0.2 ms.
        before = found.rows()
        failed = replace(variant(found, 0, 0.1, 9.0, seed=0), outcome=Failed("export", "no."))
        write(
            found.paths,
            [
                variant(found, 1, 0.8, 0.15, seed=1),
                variant(found, 1, 0.795, 0.12, seed=1),
                variant(found, 0, 0.3, 0.3, seed=0, exceeded={"latency_ms": (0.3, 0.25)}),
                failed,
            ],
        )
        said = summary(found)
        assert said is not None
        assert [(p.trial, p.costs["latency_ms"], p.verdict) for p in said.points] == [
            (0, 0.1, "trained"),
            (1, 0.12, "matches 1"),
            (1, 0.15, "beats 1"),
            (1, 0.2, "trained; dominated"),
            (0, 0.3, "dominated; over the limit of latency_ms"),
        ]
        assert said.refused == (failed,)
        assert said.sentence == (
            "3 variants were measured and scored without training: 2 are dominated by no member "
            "and no other variant, 1 beats a trained member; 1 could not be made."
        )
        assert found.rows() == before

    def test_a_variant_whose_outputs_differ_by_several_spreads_is_marked(
        self, found: Results
    ) -> None:
        near, far = (variant(found, 1, 0.8, ms, seed=1) for ms in (0.15, 0.12))
        assert isinstance(far.outcome, Scored)
        write(found.paths, [near, replace(far, outcome=replace(far.outcome, parity=2.9))])
        said = summary(found)
        assert said is not None
        words = {p.costs["latency_ms"]: p.verdict for p in said.points if p.is_variant}
        note = "outputs differ from PyTorch's by up to 2.9 times their spread"
        assert words[0.12].endswith(note)
        assert "outputs" not in words[0.15]

    def test_a_lower_metric_that_is_no_tie_matches_nothing(self, found: Results) -> None:
        write(found.paths, [variant(found, 1, 0.7, 0.15, seed=1)])
        said = summary(found)
        assert said is not None
        [point] = [p for p in said.points if p.is_variant]
        assert (point.verdict, point.is_on_front) == ("", True)

    @pytest.mark.slow
    def test_the_report_tells_variants_from_members(self, found: Results) -> None:
        assert "Variants without training" not in render(pages.record(found))
        failed = replace(variant(found, 0, 0.1, 9.0, seed=0), outcome=Failed("export", "<no>"))
        write(found.paths, [variant(found, 1, 0.8, 0.15, seed=1), failed])
        page = render(pages.record(found))
        assert "Variants without training" in page
        assert "onnxruntime int8 at 15 px" in page
        assert "beats 1" in page
        assert "export: &lt;no&gt;" in page

    def test_a_broken_record_is_an_error(self, found: Results) -> None:
        (found.paths.folder / "variants.json").write_text("[{}]")
        with pytest.raises(StudyError, match=r"variants\.json cannot be used .* Remove it;"):
            summary(found)


class TestCommand:
    @pytest.mark.slow
    def test_it_shows_members_and_variants_and_writes_the_report(
        self, found: Results, capsys: Output
    ) -> None:
        for trial, metric in ((0, 0.6), (1, 0.8)):  # of as many images as there are
            file = found.paths.folder / f"trials/{trial}/predictions.npz"
            small_refits.write_predictions(file, metric, seed=trial, n=80)
        root = str(found.paths.root)
        front = succeeds(capsys, "front", "digits", "--root", root, "--json")
        words = ["--root", root, "--members", "1", "--runtimes", "onnxruntime", "--sizes", "8"]
        words += ["--precisions", "fp32"]
        assert main(["variants", "digits", *words]) == 0
        shown = capsys.readouterr()
        assert "trial 1 onnxruntime fp32 at 8 px: accuracy" in shown.err
        assert "1 variant was measured and scored without training" in shown.out
        assert "onnxruntime fp32 at 8 px" in found.paths.report.read_text()
        again = json.loads(succeeds(capsys, "variants", "digits", *words, "--json"))
        assert [point["is_variant"] for point in again["points"]].count(True) == 1
        assert succeeds(capsys, "front", "digits", "--root", root, "--json") == front

    @pytest.mark.parametrize(
        ("words", "status", "said"),
        [
            (["--runtimes", "tflite"], 2, "Unknown runtime 'tflite'. Known: onnxruntime, openvi"),
            (["--precisions", "int4"], 2, "Unknown precision 'int4'. Did you mean 'int8'?"),
            (["--precisions", ","], 2, "--precisions: at least one is needed."),
            (["--sizes", "160,big"], 2, "--sizes: auto, or whole numbers of pixels between"),
            (["--members", ","], 2, "--members: at least one member is needed."),
            (["--sizes", "big", "--members", ","], 2, "got 'big'.\n  2. --members: at least one"),
            (["--members", "2"], 1, "The weights of trial 2 were not kept: only those"),
            (["--members", "77"], 1, "No trained candidate of the study 'digits' is '77'."),
        ],
    )
    def test_what_cannot_be_is_said(
        self, found: Results, capsys: Output, words: list[str], status: int, said: str
    ) -> None:
        root = str(found.paths.root)
        assert said in fails(capsys, status, "variants", "digits", "--root", root, *words)

    def test_a_study_that_runs_is_not_measured_beside(
        self, found: Results, capsys: Output
    ) -> None:
        with driving(found.paths, None, found.objectives):
            said = fails(capsys, 1, "variants", "digits", "--root", str(found.paths.root))
        assert said.startswith("The study 'digits' is running: beside its trainings every latency")
        assert read(found.paths) == []

    def test_a_study_that_is_not_there_is_said(self, tmp_path: Path, capsys: Output) -> None:
        said = fails(capsys, 1, "variants", "flowers", "--root", str(tmp_path))
        assert "There is no study 'flowers'" in said


def test_a_runtime_that_is_not_installed_is_left_out_or_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from archfront.search.formats import formats

    def lacking(library: str, extra: str | None) -> str:
        if library == "openvino":
            raise ConfigError("OpenVINO is not installed.")
        return "1"

    monkeypatch.setattr(formats, "installed_version", lacking)
    both = ("onnxruntime", "openvino")
    assert set(formats_of(both, ["fp32"], installed_only=True)) == {("onnxruntime", "fp32")}
    with pytest.raises(ConfigError, match="openvino fp32: OpenVINO is not installed"):
        formats_of(both, ["fp32"])
