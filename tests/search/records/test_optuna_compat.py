"""Optuna's private side: what is used of it is still there and does what it did.

A failure here after an update of Optuna is mended in ``search/records/optuna_compat.py`` alone.
"""

from __future__ import annotations

import inspect
import resource
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from archfront.search.records.optuna_compat import (
    OtherTrials,
    locked_journal,
    log_warnings_only,
    reopened,
    stored_attributes,
    stored_trials,
    system_attr,
    write_system_attr,
)

# Methods and their parameters, as they are called or overridden.
METHODS = {
    (Study, "_get_trials"): ["self", "deepcopy", "states", "use_cache"],
    (Study, "__getstate__"): ["self"],
    (Study, "__setstate__"): ["self", "state"],
    (Trial, "__init__"): ["self", "study", "trial_id"],
    (BaseStorage, "set_trial_system_attr"): ["self", "trial_id", "key", "value"],
    (BaseStorage, "get_trial_system_attrs"): ["self", "trial_id"],
    (BaseStorage, "get_study_user_attrs"): ["self", "study_id"],
    (JournalFileBackend, "__init__"): ["self", "file_path", "lock_obj"],
    (JournalFileOpenLock, "acquire"): ["self"],
    (JournalFileOpenLock, "release"): ["self"],
}
ADVICE = f"Optuna {optuna.__version__}: {{}}. Mend search/records/optuna_compat.py."


@pytest.fixture
def study(tmp_path: Path) -> Study:
    log_warnings_only()
    return optuna.create_study(study_name="s", storage=locked_journal(tmp_path / "journal"))


@pytest.mark.parametrize(
    ("kind", "name"), METHODS, ids=[f"{kind.__name__}.{name}" for kind, name in METHODS]
)
def test_a_private_method_takes_what_it_took(kind: type, name: str) -> None:
    method = getattr(kind, name, None)
    assert method is not None, ADVICE.format(f"{kind.__name__} has no {name} any more")
    taken = list(inspect.signature(method).parameters)
    assert taken == METHODS[kind, name], ADVICE.format(
        f"{kind.__name__}.{name} takes {taken} now, not {METHODS[kind, name]}"
    )


def test_studies_and_trials_have_their_private_attributes(study: Study) -> None:
    trial = study.ask()
    frozen = study.get_trials()[0]
    assert isinstance(study._storage, BaseStorage), ADVICE.format("Study._storage is another")
    assert isinstance(trial._trial_id, int), ADVICE.format("Trial._trial_id is no number")
    assert frozen._trial_id == trial._trial_id, ADVICE.format("FrozenTrial._trial_id differs")


def test_a_trial_without_an_outcome_goes_on_where_it_was(study: Study) -> None:
    first = study.ask()
    first.suggest_int("x", 0, 9)
    again = reopened(study, study.get_trials()[0])
    assert (again.number, again.params) == (first.number, first.params)
    study.tell(again, 1.0)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE]


def test_a_system_attribute_is_read_at_once_and_by_samplers(study: Study) -> None:
    trial = study.ask()
    assert system_attr(study, trial, "note") is None
    write_system_attr(study, trial, "note", [0.5, 0.75])
    assert system_attr(study, trial, "note") == [0.5, 0.75]
    assert study.get_trials()[0].system_attrs["note"] == [0.5, 0.75]
    assert "note" not in study.get_trials()[0].user_attrs


def test_a_study_without_a_trial_hides_it_from_every_sampler(study: Study) -> None:
    """Optuna's own samplers ask ``_get_trials``, some of them of its cache."""
    for _ in range(3):
        study.ask()
    frozen = study.get_trials()[1]
    others = OtherTrials(study, frozen)
    seen: list[list[int]] = []

    class Looking(optuna.samplers.RandomSampler):
        def infer_relative_search_space(
            self, study: Study, trial: FrozenTrial
        ) -> dict[str, object]:
            for use_cache in (False, True):
                found = study._get_trials(deepcopy=False, use_cache=use_cache)
                seen.append([one.number for one in found])
            return {}

    Looking().infer_relative_search_space(others, frozen)
    assert seen == [[0, 2], [0, 2]]
    assert [one.number for one in others.get_trials()] == [0, 2]
    assert [one.number for one in study.get_trials()] == [0, 1, 2]


def test_a_journal_needs_no_lock_of_optunas_own(tmp_path: Path, study: Study) -> None:
    study.ask()
    file = tmp_path / "journal"
    assert [path.name for path in tmp_path.iterdir()] == ["journal"], "a lock file was made"
    plain = JournalStorage(JournalFileBackend(str(file)))
    assert len(optuna.load_study(study_name="s", storage=plain).trials) == 1


def test_lines_that_did_not_fit_leave_no_part_behind(tmp_path: Path) -> None:
    """A part of a line on a full disk made one damaged line with the next that was written."""
    file = tmp_path / "journal"
    study = optuna.create_study(study_name="s", storage=locked_journal(file))
    whole = file.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 20, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            study.set_user_attr("long", "x" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert file.read_bytes() == whole
    study.set_user_attr("short", "y")
    again = optuna.load_study(study_name="s", storage=locked_journal(file))
    assert again.user_attrs == {"short": "y"}


def test_importing_the_store_changes_nothing_of_optuna() -> None:
    program = (
        "import optuna, archfront.search.records.store\n"
        "assert optuna.logging.get_verbosity() == optuna.logging.INFO"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_trials_of_a_journal_are_those_that_it_lists(tmp_path: Path) -> None:
    storage = locked_journal(tmp_path / "journal")
    studies = [optuna.create_study(study_name=name, storage=storage) for name in "ab"]
    for study in (*studies, *studies):
        study.tell(study.ask(), 1.0)
        study.ask()
    other = optuna.load_study(study_name="a", storage=locked_journal(tmp_path / "journal"))
    for study in (*studies, other, optuna.create_study()):
        listed = study.get_trials(deepcopy=False)
        found = stored_trials(study)
        assert [one.number for one in found] == list(range(len(listed)))
        assert all(one is same for one, same in zip(found, listed, strict=True))
    studies[0].tell(3, 2.0)
    assert [trial.state.is_finished() for trial in stored_trials(other)] == [
        trial.state.is_finished() for trial in studies[0].trials
    ]


def test_a_trial_that_does_not_change_is_the_same_object(study: Study) -> None:
    first, second = study.ask(), study.ask()
    before = study.get_trials(deepcopy=False)
    second.set_user_attr("a", 1)
    after = study.get_trials(deepcopy=False)
    assert after[first.number] is before[first.number], ADVICE.format("trials are copied")
    assert after[second.number] is not before[second.number], ADVICE.format("trials are changed")


def test_attributes_of_a_study_stay_the_same_objects(study: Study) -> None:
    study.set_user_attr("a", {"b": [1]})
    found = stored_attributes(study)["a"]
    assert found == {"b": [1]}
    study.set_user_attr("c", 1)
    assert stored_attributes(study)["a"] is found, ADVICE.format("attributes are copied")
