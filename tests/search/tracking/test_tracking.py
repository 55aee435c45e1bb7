from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from archfront.search.errors import StudyError
from archfront.search.records.evaluation import Evaluation, Rejected, Trained
from archfront.search.records.events import StudyStarted
from archfront.search.records.paths import StudyPaths
from archfront.search.records.store import reading
from archfront.search.report import finishing, pages
from archfront.search.results.refit_results import refits_of
from archfront.search.results.results import Results
from archfront.search.tracking.mlflow_client import KEY, keys_of
from archfront.search.tracking.mlflow_database import STUDY_TAG
from archfront.search.tracking.mlflow_links import run_page
from archfront.search.tracking.tracker import REFIT_TAG, TRIAL_TAG, Tracker, default_uri
from tests.support import recorded_store, small_refits
from tests.support.small_profile import small_profile
from tests.support.small_study import run, small_config
from tests.support.study_engines import Interrupting, results


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, MlflowClient]:
    """A study that was interrupted, resumed and finished, with its files attached."""
    root = tmp_path_factory.mktemp("tracked") / "with spaces, (and) more"
    paths = StudyPaths(root, "small")
    config = small_config(root)
    for jobs in (5, 1000):
        tracker = Tracker(paths, None, "tests")
        result = run(config, followers=(tracker,), engine=Interrupting(jobs))
        found = results(root)
        for file in [*pages.write(found), paths.config]:
            tracker.attach(file)
        tracker.finish(result.state, pages.key_figures(found))
    return root, MlflowClient(default_uri(root))


def runs_of(client: MlflowClient) -> tuple[Run, dict[str, Run]]:
    experiment = client.get_experiment_by_name("tests")
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    (parent,) = [r for r in runs if TRIAL_TAG not in r.data.tags]
    return parent, {r.data.tags[TRIAL_TAG]: r for r in runs if TRIAL_TAG in r.data.tags}


def key(evaluation: Evaluation) -> str:
    return f"{evaluation.trial}:{evaluation.rung}:{evaluation.attempt}"


def test_every_evaluation_is_one_child_run(tracked: tuple[Path, MlflowClient]) -> None:
    root, client = tracked
    parent, children = runs_of(client)
    evaluations = results(root).evaluations
    assert set(children) == {key(e) for e in evaluations}
    for evaluation in evaluations:
        child = children[key(evaluation)]
        assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert child.data.tags["archfront.outcome"] == evaluation.kind
        assert child.data.params["architecture.backbone"] == (
            evaluation.candidate.architecture.backbone
        )
        assert child.data.params["recipe.lr"] == str(evaluation.candidate.recipe.lr)


def test_the_page_of_mlflow_is_opened_at_the_run_of_the_study(
    tracked: tuple[Path, MlflowClient], tmp_path: Path
) -> None:
    root, client = tracked
    parent, _ = runs_of(client)
    page, study_id = "https://mlflow.example.org/here", results(root).begun().id
    assert run_page(page, default_uri(root), study_id) == (
        f"{page}/#/experiments/{parent.info.experiment_id}/runs/{parent.info.run_id}"
    )
    assert run_page(page, default_uri(root), "another") == f"{page}/"
    for elsewhere in (default_uri(tmp_path), "https://store.example.org"):
        assert run_page(page, elsewhere, study_id) == f"{page}/"
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mlflow.db").write_text("something else")
    with pytest.raises(StudyError, match="MLflow's database cannot be read: file is not"):
        run_page(page, default_uri(tmp_path), study_id)


def test_a_child_run_has_metrics_latency_and_reason(tracked: tuple[Path, MlflowClient]) -> None:
    root, client = tracked
    _, children = runs_of(client)
    for evaluation in results(root).evaluations:
        child = children[key(evaluation)]
        if evaluation.measurement is not None:
            assert child.data.metrics["latency_ms"] == evaluation.measurement.latency.p50_ms
        if isinstance(evaluation.outcome, Trained):
            assert child.data.metrics["metric"] == evaluation.outcome.metric
            (point,) = client.get_metric_history(child.info.run_id, "val_accuracy")
            assert (point.step, point.value) == (1, evaluation.outcome.metric)
        if isinstance(evaluation.outcome, Rejected):
            assert "latency_ms" in child.data.tags["archfront.reason"]


def test_the_parent_run_has_config_environment_and_files(
    tracked: tuple[Path, MlflowClient],
) -> None:
    root, client = tracked
    parent, _ = runs_of(client)
    assert parent.info.status == "FINISHED"
    assert parent.data.params["task.metric"] == "accuracy"
    assert parent.data.params["dataset.fingerprint"] == "f" * 16
    assert parent.data.params["environment.torch"]
    assert parent.data.metrics["n_trained"] == 6
    assert parent.data.metrics["hypervolume"] > 0
    names = {f.path for f in client.list_artifacts(parent.info.run_id)}
    assert names == {"front.json", "front.html", "front.png", "report.html", "study.yaml"}
    front = json.loads(
        Path(client.download_artifacts(parent.info.run_id, "front.json")).read_text()
    )
    assert front == results(root).rows()


def test_the_profile_of_the_data_is_in_the_parent_run(tmp_path: Path) -> None:
    paths = recorded_store.write(tmp_path)
    found = Results.read(reading(paths, None), paths)
    paths.profile.write_text(small_profile().as_json(), encoding="utf-8")
    finishing.finish(found, lambda: Tracker(paths, None, "tests"), pytest.fail)
    client = MlflowClient(default_uri(tmp_path))
    parent, _ = runs_of(client)
    told = {name: v for name, v in parent.data.metrics.items() if name.startswith("profile.")}
    expected = small_profile().meta_features()
    assert told == pytest.approx({f"profile.{name}": value for name, value in expected.items()})
    assert "profile.json" in {f.path for f in client.list_artifacts(parent.info.run_id)}


def test_nothing_lies_outside_of_the_root(tracked: tuple[Path, MlflowClient]) -> None:
    root, client = tracked
    parent, _ = runs_of(client)
    assert parent.info.artifact_uri.startswith("file:")
    assert {p.name for p in root.iterdir()} <= {"mlflow.db", "studies", "artifacts", "cache"}


@pytest.mark.slow
def test_a_half_written_run_is_written_again(tmp_path: Path) -> None:
    config, paths = small_config(tmp_path), StudyPaths(tmp_path, "small")
    run(config, followers=(Tracker(paths, None, "tests"),), engine=Interrupting(5))
    client = MlflowClient(default_uri(tmp_path))
    _, children = runs_of(client)
    torn = min(children)
    client.update_run(children[torn].info.run_id, status="RUNNING")
    run(config, followers=(Tracker(paths, None, "tests"),))
    _, after = runs_of(client)
    assert set(after) == {key(e) for e in results(tmp_path).evaluations}
    assert after[torn].info.run_id != children[torn].info.run_id
    assert all(r.info.status != "RUNNING" for r in after.values())


def test_a_latency_that_a_killed_driver_did_not_write_is_written(tmp_path: Path) -> None:
    config, paths = small_config(tmp_path), StudyPaths(tmp_path, "small")
    run(config, followers=(Tracker(paths, None, "tests"),))
    found = results(tmp_path)
    first = next(e for e in found.evaluations if e.measurement is not None)
    assert first.measurement is not None
    latency = replace(first.measurement.latency, p50_ms=7.5)
    again = replace(first, measurement=replace(first.measurement, latency=latency))
    others = [e for e in found.evaluations if e.trial != first.trial]
    tracker = Tracker(paths, None, "tests")
    for _ in range(2):
        tracker.write_study("small", found.begun(), [again, *others])
    client = MlflowClient(default_uri(tmp_path))
    _, children = runs_of(client)
    child = children[key(first)]
    assert child.data.metrics["latency_ms"] == 7.5
    assert len(client.get_metric_history(child.info.run_id, "latency_ms")) == 2


def test_a_parent_run_that_was_half_written_is_completed(tmp_path: Path) -> None:
    found = small_refits.write(tmp_path)
    tracker = Tracker(found.paths, None, "tests")
    tracker._study_id = found.begun().id
    tracker._create_parent("digits")
    tracker.write_study("digits", found.begun(), found.evaluations)
    parent, children = runs_of(MlflowClient(default_uri(tmp_path)))
    assert parent.data.params["dataset.fingerprint"] == found.begun().dataset.fingerprint
    assert len(children) == len({e.trial for e in found.evaluations})


@pytest.mark.slow
def test_removing_a_study_marks_all_its_runs(tmp_path: Path) -> None:
    config, paths = small_config(tmp_path), StudyPaths(tmp_path, "small")
    tracker = Tracker(paths, None, "tests")
    run(config, followers=(tracker,))
    assert tracker.remove(results(tmp_path).begun().id) == len(results(tmp_path).evaluations) + 1
    client = MlflowClient(default_uri(tmp_path))
    experiment = client.get_experiment_by_name("tests")
    left = client.search_runs([experiment.experiment_id], f"tags.`{STUDY_TAG}` != ''")
    assert list(left) == []


def test_a_store_that_cannot_be_opened_is_a_clear_error(tmp_path: Path) -> None:
    uri = "postgresql+nodriver://me:secret@localhost/db"
    with pytest.raises(StudyError, match=r"MLflow's store postgresql\+nodriver://me:\*\*\*@"):
        Tracker(StudyPaths(tmp_path, "small"), uri, "tests")


@pytest.mark.slow
def test_the_rungs_of_a_trial_are_one_run(tmp_path: Path) -> None:
    """Interrupted after a trial climbed, and gone on with."""
    paths = StudyPaths(tmp_path, "small")
    config = small_config(tmp_path, task__epochs=9, budget__rungs=[3, 9], budget__trials=3)
    for jobs in (16, 1000):
        run(config, followers=(Tracker(paths, None, "tests"),), engine=Interrupting(jobs))
    client = MlflowClient(default_uri(tmp_path))
    _, children = runs_of(client)
    evaluations = results(tmp_path).evaluations
    last = {e.trial: e for e in evaluations}
    assert set(children) == {key(e) for e in last.values()}
    assert {e.rung for e in last.values() if e.kind == "trained"} == {0, 1}
    for child in children.values():
        trial = int(child.data.tags[TRIAL_TAG].split(":")[0])
        own = [
            e.outcome.metric
            for e in evaluations
            if e.trial == trial and isinstance(e.outcome, Trained)
        ]
        points = client.get_metric_history(child.info.run_id, "metric")
        assert [(p.step, p.value) for p in points] == list(enumerate(own))
        points = client.get_metric_history(child.info.run_id, "val_accuracy")
        assert [(p.step, p.value) for p in points] == list(zip((3, 9), own, strict=False))
        assert child.info.status != "RUNNING"


@pytest.mark.slow
def test_full_trainings_are_runs_of_their_study_each_once(tmp_path: Path) -> None:
    found = small_refits.write(tmp_path)
    for trial in (0, 1):
        small_refits.write_refits(found, trial, [0.7, 0.8], splits=("val", "test"))
    refits = refits_of(found)
    names = {e.trial: e.candidate.label for e in found.evaluations}
    tracker = Tracker(found.paths, None, "tests")
    begun = StudyStarted("digits", found.begun(), tuple(found.evaluations), isolates=True)
    tracker(begun)
    study_id = found.begun().id
    assert tracker.write_refits(study_id, refits[:3], names) == 3
    client = MlflowClient(default_uri(tmp_path))
    everything = client.search_runs([client.get_experiment_by_name("tests").experiment_id])
    half = next(run for run in everything if REFIT_TAG in run.data.tags)
    client.update_run(half.info.run_id, status="RUNNING")
    # Again: what is not there, and what was written for a part.
    assert tracker.write_refits(study_id, refits, names) == 2
    assert tracker.write_refits(study_id, refits, names) == 0
    # A study that goes on knows its own run among them.
    Tracker(found.paths, None, "tests")(begun)
    runs = client.search_runs([half.info.experiment_id])
    (parent,) = [r for r in runs if not {TRIAL_TAG, REFIT_TAG} & r.data.tags.keys()]
    refit_runs = [r for r in runs if REFIT_TAG in r.data.tags]
    assert len(refit_runs) == len(refits)
    for run_ in refit_runs:
        assert run_.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run_.data.params["refit.epochs"] == "2"
    best = next(r for r in refit_runs if r.data.params["trial"] == r.data.params["seed"] == "1")
    assert best.data.metrics["test_accuracy"] == 0.8
    assert best.data.metrics["test_low"] == pytest.approx(0.78)
    assert best.info.run_name == f"0001 {names[1]}, in full, seed 1"
    assert tracker.remove(study_id) == len(runs)


CLASSES = ("dog", "traffic light (red)", "/m/01g317", "Bird's eye", "C+", "C#", "..", "x" * 300)


def test_names_of_classes_become_different_keys() -> None:
    keys = keys_of([f"val_ap/{name}" for name in CLASSES])
    assert len(set(keys.values())) == len(CLASSES)
    assert max(map(len, keys.values())) <= KEY
    assert keys["val_ap/dog"] == "val_ap/dog"
    assert keys["val_ap/traffic light (red)"] == "val_ap/traffic light _red_"
    assert keys["val_ap//m/01g317"] == "val_ap/_/m/01g317"
    assert keys["val_ap/C+"].startswith("val_ap/C_-")


@pytest.mark.slow
def test_metrics_of_classes_of_any_name_are_written(tmp_path: Path) -> None:
    """MLflow refused all of a trial for one parenthesis in the name of a class."""
    found = small_refits.write(tmp_path)
    evaluation = found.evaluations[0]
    assert isinstance(evaluation.outcome, Trained)
    of_classes = {f"ap/{name}": 0.01 * place for place, name in enumerate(CLASSES)}
    (last,) = evaluation.outcome.curve[-1:]
    curve = ({**last, "metrics": {**last["metrics"], **of_classes}},)
    changed = replace(evaluation, outcome=replace(evaluation.outcome, curve=curve))
    Tracker(found.paths, None, "tests").write_study("digits", found.begun(), [changed])
    _, children = runs_of(MlflowClient(default_uri(tmp_path)))
    values = children[key(changed)].data.metrics
    keys = keys_of([f"val_{name}" for name in of_classes])
    assert {name: values[keys[f"val_{name}"]] for name in of_classes} == of_classes
