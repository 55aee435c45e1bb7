"""What the service keeps of the records of studies, and what reading them takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest

from archfront.search.records.store import reading
from archfront.search.results.results import Results
from tests.support import recorded_store


def test_records_are_read_without_copies_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Optuna listed all trials twice and copied all attributes of the study, at every record."""
    paths = recorded_store.write(tmp_path)
    store, list_trials = reading(paths, None), optuna.Study.get_trials
    listed: list[dict[str, Any]] = []

    def noted(study: optuna.Study, **how: Any) -> list[optuna.trial.FrozenTrial]:
        listed.append(how)
        return list_trials(study, **how)

    monkeypatch.setattr(optuna.Study, "get_trials", noted)
    monkeypatch.setattr(optuna.Study, "user_attrs", property(lambda _: pytest.fail("copied")))
    results = Results.read(store, paths)
    assert (len(results.evaluations), results.waiting) == (24, frozenset())
    assert listed == [{"deepcopy": False}]
