"""Optuna's private side: all that is used of it stands here, and a test holds each part.

Optuna may change it in any release. ``tests/search/records/test_optuna_compat.py`` then says what
changed; this file alone has to follow.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState


def log_warnings_only() -> None:
    """Let Optuna log no line about each trial."""
    if optuna.logging.get_verbosity() != optuna.logging.WARNING:  # setting it visits all loggers
        optuna.logging.set_verbosity(optuna.logging.WARNING)


def reopened(study: Study, frozen: FrozenTrial) -> Trial:
    """Return a trial without an outcome, to go on with."""
    return Trial(study, frozen._trial_id)


def write_system_attr(study: Study, trial: Trial | FrozenTrial, name: str, value: Any) -> None:
    """Write an attribute of a trial that samplers read and users do not set."""
    study._storage.set_trial_system_attr(trial._trial_id, name, value)


def system_attr(study: Study, trial: Trial | FrozenTrial, name: str) -> Any:
    """Return such an attribute as it is stored now; None where there is none."""
    return study._storage.get_trial_system_attrs(trial._trial_id).get(name)


def stored_trials(study: Study) -> list[FrozenTrial]:
    """Return the trials of a study by number as its storage holds them, which nobody may change.

    Optuna's journal itself goes over them one by one.
    """
    storage = study._storage
    if not isinstance(storage, JournalStorage):
        return study.get_trials(deepcopy=False)
    with storage._thread_lock:
        storage._sync_with_backend()
        replayed = storage._replay_result
        ids = replayed._study_id_to_trial_ids[study._study_id]
        return list(map(replayed._trials.__getitem__, ids))


def stored_attributes(study: Study) -> Mapping[str, Any]:
    """Return the user attributes of a study as its storage holds them, which nobody may change.

    Optuna itself copies them all, with every value, whenever one is asked for.
    """
    return study._storage.get_study_user_attrs(study._study_id)


class OtherTrials(Study):
    """A study without one of its trials, which is being proposed.

    Optuna's GPSampler counts every running trial, and would take the trial's own written axes and
    earlier drafts for those of a competitor.
    """

    def __init__(self, study: Study, trial: FrozenTrial) -> None:
        self.__setstate__(study.__getstate__())
        self._number = trial.number

    def _get_trials(
        self,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
        use_cache: bool = False,
    ) -> list[FrozenTrial]:
        trials = super()._get_trials(deepcopy, states, use_cache)
        return [trial for trial in trials if trial.number != self._number]


def locked_journal(file: Path) -> JournalStorage:
    """Return the storage in a journal file, for whoever holds the study's lock or only reads."""
    return JournalStorage(_WholeLines(str(file), lock_obj=_HeldLock()))


class _WholeLines(JournalFileBackend):
    """The journal that keeps no part of lines that could not be written, as on a full disk.

    Whatever is appended after a part of a line would make one damaged line with it.
    """

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append lines, all of them or none."""
        file = Path(self._file_path)
        size = file.stat().st_size
        try:
            super().append_logs(logs)
        except OSError:
            with contextlib.suppress(OSError):
                os.truncate(file, size)
            raise


class _HeldLock(JournalFileOpenLock):
    """The lock of a journal that a kernel lock already keeps every other writer out of.

    Optuna's own lock is a file that outlives a killed process and then blocks.
    """

    def __init__(self) -> None:
        pass

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        return None
