"""A trial trained again: the same to the last bit, or what differs."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import optuna
import pytest

from archfront.search.cli import main
from archfront.search.errors import StudyError
from archfront.search.prepare.data_reference import data_ref
from archfront.search.records.evaluation import Trained
from archfront.search.records.store import driving
from archfront.search.results.results import Results
from archfront.search.retrain.reproduction import changes, reproduce
from archfront.trainers.training import proxy
from tests.support import recorded_study, small_refits
from tests.support.command import Output, fails, succeeds
from tests.support.study_headers import with_other_data

REAL = 3


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Return a study with a trial that was really trained."""
    root = tmp_path_factory.mktemp("studies")
    found = small_refits.write(root, test=0)
    study = small_refits.study(found)
    of = small_refits.evaluations()[1]
    folder = found.paths.folder / "trials" / "real"
    result = proxy.train(
        of.candidate.architecture,
        of.candidate.weights,
        of.candidate.recipe,
        data_ref(study.config),
        replace(study.train_settings, seed=of.seed),
        folder=folder,
    )
    outcome = Trained(
        metric=result.metrics["accuracy"],
        metric_low=0.0,
        metric_high=1.0,
        metrics=result.metrics,
        curve=tuple(asdict(row) for row in result.curve),
        seconds=result.seconds,
        predictions=str(result.predictions.relative_to(found.paths.folder)),
        weights=str(result.weights.relative_to(found.paths.folder)),
    )
    objectives = list(recorded_study.OBJECTIVES)
    with driving(found.paths, None, objectives) as store:
        for evaluation in (
            replace(of, trial=REAL, outcome=outcome),
            recorded_study.failed(REAL + 1, of=of.candidate),
        ):
            trial = store.ask(optuna.samplers.RandomSampler(seed=0))
            assert trial.number == evaluation.trial
            store.record(trial, evaluation)
            store.tell(trial, [evaluation], objectives)
    return small_refits.results(root)


@pytest.mark.slow
def test_the_same_cpu_gives_the_same_bits(trained: Results) -> None:
    found = reproduce(trained, small_refits.study(trained), REAL)
    assert found.is_same
    assert found.compared == ("metrics", "learning curve", "predictions", "weights")
    assert all(then == now for then, now in found.metrics.values())


def test_another_seed_in_the_record_differs_and_is_told(trained: Results) -> None:
    evaluations = [
        replace(e, seed=e.seed + 1) if e.trial == REAL else e for e in trained.evaluations
    ]
    other = replace(trained, evaluations=evaluations)
    found = reproduce(other, small_refits.study(other), REAL)
    assert not found.is_same
    assert "learning curve, from epoch 1 on" in found.differing
    assert "weights" in found.differing


def test_predictions_that_changed_differ_and_nothing_else(
    trained: Results, tmp_path: Path
) -> None:
    [evaluation] = [e for e in trained.evaluations if e.trial == REAL]
    assert isinstance(evaluation.outcome, Trained)
    with np.load(trained.paths.folder / evaluation.outcome.predictions) as kept:
        changed = {**kept, "labels": kept["labels"][::-1]}
    np.savez(trained.paths.folder / "changed.npz", **changed)
    outcome = replace(evaluation.outcome, predictions="changed.npz", weights="gone")
    other = replace(trained, evaluations=[replace(evaluation, outcome=outcome)])
    found = reproduce(other, small_refits.study(other), REAL)
    assert found.differing == ("predictions",)
    assert found.compared == ("metrics", "learning curve", "predictions")


def test_other_versions_and_devices_are_named() -> None:
    then = {"python": "2.7.1", "timm": "0.0.1", "no-such-library": "1.0", "device": "A toaster"}
    told = changes({**then, "device_id": "123"})
    assert told[0].startswith("python: 2.7.1 then, 3.")
    assert told[1].startswith("timm: 0.0.1 then, ")
    assert told[2] == "no-such-library: 1.0 then, not installed now"
    assert told[3].startswith("device: A toaster then, ")


def test_an_environment_that_is_this_one_has_no_changes() -> None:
    from importlib.metadata import version
    from platform import python_version

    from archfront.search.latency.device import fingerprint

    here = fingerprint()
    now = {"python": python_version(), "timm": version("timm"), "device": str(here)}
    assert changes({**now, "device_id": here.id}) == ()


def test_other_data_is_told_before_anything_is_trained(trained: Results) -> None:
    study = small_refits.study(trained)
    header = with_other_data(study.header)
    with pytest.raises(StudyError, match=r"is another one than it was \(fingerprint other, now"):
        reproduce(trained, replace(study, header=header), REAL)


class TestCommand:
    @pytest.mark.slow
    def test_it_says_that_it_is_the_same(self, trained: Results, capsys: Output) -> None:
        words = ("reproduce", "digits", "--root", str(trained.paths.root), "--trial", str(REAL))
        said = succeeds(capsys, *words)
        assert "The same to the last bit: metrics, learning curve, predictions, weights." in said
        assert json.loads(succeeds(capsys, *words, "--json"))["is_same"] is True

    def test_made_up_numbers_are_not_reproduced(self, trained: Results, capsys: Output) -> None:
        words = ["reproduce", "digits", "--root", str(trained.paths.root), "--trial", "1"]
        assert main(words) == 1
        said = capsys.readouterr().out
        assert "Not the same: metrics" in said
        assert "Versions, device and data are those of then." in said

    @pytest.mark.parametrize(
        ("trial", "what"), [("99", "is not there"), (str(REAL + 1), "was failed, not trained")]
    )
    def test_a_trial_that_was_not_trained_is_told(
        self, trained: Results, capsys: Output, trial: str, what: str
    ) -> None:
        words = ("reproduce", "digits", "--root", str(trained.paths.root), "--trial", trial)
        assert fails(capsys, 1, *words) == (
            f"The trial {trial} of the study 'digits' {what}. Trained trials: 0, 1, 2, 3."
        )
