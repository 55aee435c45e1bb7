"""The truth about a study: Optuna's storage, with one driver at a time.

A study without a storage URL is a journal file. The driver holds a kernel lock for its life, which
the system frees however it dies; a torn last line, which such a death can leave, is cut off when
the next driver opens the journal. With the URL of a PostgreSQL the journal is rows of a table, and
the driver holds a lock there. Reading needs no lock.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from archfront.search.errors import DatabaseError, StudyError, StudyLockedError
from archfront.search.records.codec import decode, encode
from archfront.search.records.driver_lock import driver_lock, is_driven
from archfront.search.records.driver_session import DriverSession
from archfront.search.records.evaluation import Evaluation, Measurement, Trained
from archfront.search.records.fold_scores import FoldRecords
from archfront.search.records.header import StudyHeader
from archfront.search.records.journal import (
    check_not_cut,
    check_not_emptied,
    cut_torn_line,
)
from archfront.search.records.journal_table import (
    JournalTable,
    StoredJournal,
    read_journal,
    remove_study,
    stored_studies,
)
from archfront.search.records.objectives import Objective
from archfront.search.records.optuna_compat import (
    locked_journal,
    log_warnings_only,
    reopened,
    stored_attributes,
    stored_trials,
    system_attr,
    write_system_attr,
)
from archfront.search.records.paths import (
    StudyPaths,
    existing,
    make_folder,
    remove_folders,
)
from archfront.search.records.postgres import is_postgres
from archfront.search.records.proposal import Proposal
from archfront.search.records.storage_urls import hide_password, storage_errors
from archfront.search.records.stored_evaluations import EVALUATION, StoredEvaluations

# User attributes of a study.
HEADER, STATE, SCORES = "archfront:header", "archfront:state", "archfront:scores"
# Measurements by the id of their architecture, taken again after its trials had ended.
REMEASURED = "archfront:remeasured"
# User attributes of a trial beside its evaluations: the rung it was last trained to, its attempts,
# and the seconds of its training up to its last rung.
_RUNG, _ATTEMPTS = "rung", "attempts"
TRAIN_S = "train_s"
# System attributes of a trial: why its candidate was proposed, and the metric after each finished
# rung. A trial with fewer of these than the study has rungs was not trained in full, whatever its
# state.
PROPOSAL, RUNGS = "archfront:proposal", "archfront:rungs"

# How a run ended, and the test metrics of members by trial.
State = dict[str, str | bool]
STATE_BEFORE: State = {"state": "running", "reason": "", "is_exhausted": False, "budget": ""}
Scores = dict[str, dict[str, float]]


class StudyStore:
    """The records of one study.

    Args:
        study: Optuna's.
        is_driven: Whether a driver runs it now, this one or another.
        journal: Its journal, if it is one in PostgreSQL that is only read.

    A trial stays RUNNING until its last outcome is told; its evaluations are written before. So a
    trial that is RUNNING when a driver opens the study was in flight when the last one died, or
    waited at a rung: with an evaluation that ends it, it is only told, without one it goes on. It
    waits at its rung again where the machine failed in its training to the next one.
    """

    def __init__(
        self, study: optuna.Study, *, is_driven: bool = True, journal: StoredJournal | None = None
    ) -> None:
        self._study, self.is_driven, self._journal = study, is_driven, journal
        self.folds = FoldRecords(lambda: stored_attributes(study), study.set_user_attr)
        self._stored = StoredEvaluations()
        self._header: tuple[Any, StudyHeader] | None = None

    @property
    def header(self) -> StudyHeader | None:
        """Return the header that was stored when the study started; None before.

        Raises:
            StudyError: If a later version of archfront stored it.
        """
        kept, content = self._header, stored_attributes(self._study).get(HEADER)
        if content is not None and (kept is None or kept[0] is not content):
            kept = self._header = content, StudyHeader.from_dict(deepcopy(content))
        return None if content is None or kept is None else kept[1]

    def read_on(self) -> None:
        """Take what was recorded since it was opened to read; of a file that comes by itself.

        Raises:
            StudyError: If the records are others now.
        """
        if self._journal is not None:
            self._journal.read_on()
            self.is_driven = self._journal.is_driven

    def write_header(self, header: StudyHeader) -> None:
        """Store what the study is; once."""
        self._study.set_user_attr(HEADER, header.as_dict())

    @property
    def state(self) -> dict[str, Any]:
        """Return how the last run ended: ``state``, ``reason``, ``is_exhausted``, ``budget``."""
        stored: dict[str, Any] = stored_attributes(self._study).get(STATE, {})
        return decode(State, {**STATE_BEFORE, **stored})

    def write_state(self, state: str, reason: str, **ended: str | bool) -> None:
        """Store how the run goes or ended; ``ended`` is the rest of ``STATE_BEFORE``."""
        content = {**STATE_BEFORE, "state": state, "reason": reason, **ended}
        self._study.set_user_attr(STATE, content)

    @property
    def scores(self) -> dict[int, dict[str, float]]:
        """Return the test metrics of front members, by trial."""
        stored = decode(Scores, stored_attributes(self._study).get(SCORES, {}))
        return {int(trial): metrics for trial, metrics in stored.items()}

    def write_scores(self, scores: dict[int, dict[str, float]]) -> None:
        """Store the test metrics of front members."""
        self._study.set_user_attr(SCORES, {str(trial): m for trial, m in scores.items()})

    def evaluations(self) -> list[Evaluation]:
        """Return every evaluation that counts, by trial and attempt."""
        return self.outcomes()[0]

    def outcomes(self) -> tuple[list[Evaluation], frozenset[int]]:
        """Return every evaluation that counts and the open trials, both of one moment."""
        evaluations = self._stored.all(stored_trials(self._study), self._remeasured())
        return evaluations, self._stored.running

    def write_remeasured(self, architecture_id: str, measurement: Measurement) -> None:
        """Store a measurement that replaces those of the trained trials of an architecture."""
        content = {**self._remeasured(), architecture_id: encode(measurement)}
        self._study.set_user_attr(REMEASURED, content)

    def _remeasured(self) -> dict[str, Any]:
        """Return the measurements that replace others, by architecture."""
        content: dict[str, Any] = stored_attributes(self._study).get(REMEASURED, {})
        return content

    def ask(self, sampler: optuna.samplers.BaseSampler) -> Trial:
        """Return a new trial, proposed by a sampler."""
        self._study.sampler = sampler
        return self._study.ask()

    def in_flight(self) -> list[FrozenTrial]:
        """Return the trials without an outcome, which a dead driver left, by number."""
        return self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))

    def open_trials(self) -> frozenset[int]:
        """Return the numbers of the trials without an outcome: they may still be trained."""
        return frozenset(frozen.number for frozen in self.in_flight())

    def trial(self, frozen: FrozenTrial, sampler: optuna.samplers.BaseSampler) -> Trial:
        """Return a trial to go on with; what was not yet chosen is proposed by a sampler."""
        self._study.sampler = sampler
        return reopened(self._study, frozen)

    def attempts(self, frozen: FrozenTrial) -> int:
        """Return how often a trial was begun before."""
        return int(frozen.user_attrs.get(_ATTEMPTS, 0))

    def begin(self, trial: Trial, attempt: int) -> None:
        """Note that an attempt at a trial begins again."""
        trial.set_user_attr(_ATTEMPTS, attempt)

    def recorded(self, frozen: FrozenTrial) -> list[Evaluation]:
        """Return the evaluations of a trial, the lowest rung first."""
        found = self._stored.of(frozen.number, frozen.user_attrs, self._remeasured())
        return sorted(found, key=lambda e: (e.rung, e.attempt))

    def begun(self, frozen: FrozenTrial) -> int:
        """Return the rung that a trial was last trained to, whether or not it got there."""
        return int(frozen.user_attrs.get(_RUNG, 0))

    def promote(self, trial: Trial, rung: int) -> None:
        """Note that a trial begins to be trained to a higher rung."""
        trial.set_user_attr(_RUNG, rung)

    def note_rungs(self, trial: Trial, evaluations: Sequence[Evaluation]) -> None:
        """Note what the rungs of a trial gave, for samplers."""
        metrics = [e.outcome.metric for e in evaluations if isinstance(e.outcome, Trained)]
        write_system_attr(self._study, trial, RUNGS, metrics)

    def record(self, trial: Trial, evaluation: Evaluation) -> None:
        """Write an evaluation; ``tell`` must follow, or ``note_rungs`` below the top.

        Where the machine failed above the lowest rung, nothing follows: the trial waits again.
        """
        name = f"{EVALUATION}{evaluation.rung}:{evaluation.attempt}"
        trial.set_user_attr(name, evaluation.as_dict())

    def proposal(self, trial: Trial) -> Proposal | None:
        """Return why a trial's candidate was proposed, if its sampler said so."""
        content = system_attr(self._study, trial, PROPOSAL)
        return None if content is None else decode(Proposal, content)

    def tell(
        self, trial: Trial, evaluations: Sequence[Evaluation], objectives: list[Objective]
    ) -> None:
        """End a trial with the values of its last evaluation, or as failed.

        Args:
            trial: The trial.
            evaluations: All of it, the lowest rung first.
            objectives: The metric first.
        """
        last = evaluations[-1]
        if not isinstance(last.outcome, Trained):
            self._study.tell(trial, state=TrialState.FAIL)
            return
        trained = [e.outcome for e in evaluations if isinstance(e.outcome, Trained)]
        trial.set_user_attr(TRAIN_S, sum(outcome.seconds for outcome in trained))
        if last.n_rungs > 1:
            self.note_rungs(trial, evaluations)
        self._study.tell(trial, [o.value(last) for o in objectives])


@contextlib.contextmanager
def driving(
    paths: StudyPaths, url: str | None, objectives: list[Objective]
) -> Iterator[StudyStore]:
    """Open a study to run it, made where it is not there, locked until the block ends.

    A study that is made here and fails before it has a header is removed again.

    Raises:
        StudyLockedError: If another driver holds it.
        StudyError: If its storage cannot be opened.
    """
    made = make_folder(paths.folder)
    store: StudyStore | None = None
    try:
        with driver_lock(paths, url) as session:
            if url is None:
                check_not_emptied(paths)
                cut_torn_line(paths.journal)
            with storage_errors(paths, url):
                study = optuna.create_study(
                    study_name=paths.study,
                    storage=_storage(paths, url, session),
                    directions=[o.direction for o in objectives],
                    load_if_exists=True,
                )
                store = _checked(StudyStore(study), paths, url)
            yield store
    except StudyLockedError:
        raise
    except BaseException:
        if made and (store is None or store.header is None):
            if store is not None:
                with contextlib.suppress(DatabaseError):
                    remove(paths, url)
            remove_folders(made)
        raise


def reading(paths: StudyPaths, url: str | None) -> StudyStore:
    """Open a study to read it; the driver may go on meanwhile.

    Raises:
        StudyError: If its storage cannot be opened.
    """
    with storage_errors(paths, url):
        if url is None:
            check_not_emptied(paths)
        if url is None and not paths.journal.is_file():
            raise StudyError(
                f"The study {paths.study!r} has no records in {paths.folder}: it keeps them in "
                "a database, or never started. Give --storage-url as it was run with."
            )
        if url is not None and is_postgres(url):
            journal = read_journal(url, paths.study)
            study = optuna.load_study(study_name=paths.study, storage=JournalStorage(journal))
            store = StudyStore(study, is_driven=journal.is_driven, journal=journal)
            return _checked(store, paths, url)
        storage = _storage(paths, url)
        known = optuna.get_all_study_names(storage)
        if paths.study not in known:
            where = paths.journal if url is None else hide_password(url)
            there = ", ".join(known) or "no study"
            raise StudyError(f"The study {paths.study!r} is not in {where}, which has {there}.")
        study = optuna.load_study(study_name=paths.study, storage=storage)
        return _checked(StudyStore(study, is_driven=is_driven(paths, url)), paths, url)


def _checked(store: StudyStore, paths: StudyPaths, url: str | None) -> StudyStore:
    """Return a store, all of whose records can be read."""
    if url is None:
        check_not_cut(paths, lambda: len(store._study.get_trials(deepcopy=False)))
    _ = store.header, store.state, store.scores, store.folds.read(), store.evaluations()
    return store


def remove(paths: StudyPaths, url: str | None) -> None:
    """Remove a study's trials from a database; a journal goes with its folder."""
    if url is not None and is_postgres(url):
        remove_study(url, paths.study)
    elif url is not None:
        with storage_errors(paths, url):
            optuna.delete_study(study_name=paths.study, storage=_storage(paths, url))


def find_study(root: Path, name: str, url: str | None) -> StudyPaths:
    """Return the paths of a study below a root, or of one that is only in PostgreSQL.

    Raises:
        StudyError: If there is no such study.
    """
    if url is not None and is_postgres(url) and name in stored_studies(url):
        return StudyPaths(root, name)
    return existing(root, name)


def _storage(
    paths: StudyPaths, url: str | None, session: DriverSession | None = None
) -> BaseStorage:
    log_warnings_only()
    if session is not None:
        return JournalStorage(JournalTable(session))
    if url is not None:
        return RDBStorage(url)
    return locked_journal(paths.journal)
