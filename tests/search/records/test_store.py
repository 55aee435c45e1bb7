from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest

from archfront.search.errors import DataError, StudyError, StudyLockedError
from archfront.search.records.driver_lock import is_driven
from archfront.search.records.evaluation import Evaluation
from archfront.search.records.journal import cut_torn_line
from archfront.search.records.objectives import objectives_for
from archfront.search.records.paths import StudyPaths, existing
from archfront.search.records.storage_urls import hide_password
from archfront.search.records.store import driving, reading, remove
from tests.support.forked import started
from tests.support.mlflow_template import template
from tests.support.recorded_study import REFERENCE
from tests.support.small_study import drive, prepared, run, small_config
from tests.support.study_engines import Interrupting, results, story

GOALS = list(objectives_for("accuracy"))
HOLDER = """
import sys
from pathlib import Path
from archfront.search.records.objectives import objectives_for
from archfront.search.records.paths import StudyPaths
from archfront.search.records.store import driving
with driving(StudyPaths(Path(sys.argv[1]), "small"), None, list(objectives_for("accuracy"))):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_torn_last_line_is_cut_off_and_the_study_goes_on(tmp_path: Path) -> None:
    config = small_config(tmp_path)
    run(config, engine=Interrupting(5))
    journal = StudyPaths(tmp_path, "small").journal
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"op_code":6,"worker_id":"x","tri')
    run(config)
    run(small_config(tmp_path / "whole"))
    assert story(results(tmp_path).evaluations) == story(results(tmp_path / "whole").evaluations)


@pytest.mark.parametrize(
    ("content", "left"),
    [
        (b"", b""),
        (b"a\n", b"a\n"),
        (b"a\nb", b"a\n"),
        (b"b", b""),
        (b"a\n" + b"x" * 200_000, b"a\n"),
    ],
)
def test_only_what_follows_the_last_newline_is_cut(
    tmp_path: Path, content: bytes, left: bytes
) -> None:
    journal = tmp_path / "journal"
    journal.write_bytes(content)
    assert cut_torn_line(journal) == len(content) - len(left)
    assert journal.read_bytes() == left


@pytest.mark.slow
def test_every_cut_of_a_journal_can_be_resumed(tmp_path: Path) -> None:
    """Whatever byte a crash left as the last one, the study goes on to the same end."""
    config = small_config(tmp_path / "whole", budget__trials=3)
    run(config)
    wanted = story(results(tmp_path / "whole").evaluations)
    whole = StudyPaths(tmp_path / "whole", "small").journal.read_bytes()
    for number, end in enumerate(range(len(whole) // 7, len(whole), len(whole) // 7)):
        root = tmp_path / f"cut-{number}"
        paths = StudyPaths(root, "small")
        paths.folder.mkdir(parents=True)
        paths.journal.write_bytes(whole[:end])
        run(small_config(root, budget__trials=3))
        assert story(results(root).evaluations) == wanted


def test_a_journal_damaged_in_its_middle_is_a_clear_error(tmp_path: Path) -> None:
    run(small_config(tmp_path))
    paths = StudyPaths(tmp_path, "small")
    lines = paths.journal.read_bytes().splitlines(keepends=True)
    lines[len(lines) // 2] = b"\x00garbage\n"
    paths.journal.write_bytes(b"".join(lines))
    with pytest.raises(StudyError, match=r"The records of 'small' .* are damaged: a line be"):
        reading(paths, None).evaluations()


def test_optunas_own_lock_left_behind_does_not_block(tmp_path: Path) -> None:
    config = small_config(tmp_path)
    run(config, engine=Interrupting(4))
    journal = StudyPaths(tmp_path, "small").journal
    Path(f"{journal}.lock").symlink_to(journal)
    assert run(config).state == "finished"


def test_a_reader_needs_no_lock_and_sees_what_is_finished(tmp_path: Path) -> None:
    seen: list[int] = []

    def look(event: object) -> None:
        seen.append(len(reading(StudyPaths(tmp_path, "small"), None).evaluations()))

    run(small_config(tmp_path), followers=(look,))
    assert seen == sorted(seen)
    assert seen[-1] >= 6


def test_a_killed_driver_frees_its_lock_and_a_living_one_is_named(tmp_path: Path) -> None:
    paths = StudyPaths(tmp_path, "small")
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "held\n"
        assert is_driven(paths)
        with (
            pytest.raises(StudyLockedError, match=f"already run by process {holder.pid} on "),
            driving(paths, None, GOALS),
        ):
            pass
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
    assert not is_driven(paths)
    with driving(paths, None, GOALS) as store:
        assert store.evaluations() == []


@pytest.mark.slow
def test_a_study_lives_in_any_sqlalchemy_database(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'team.db'}"
    config = small_config(tmp_path, tracking__storage_url=url)
    run(config, engine=Interrupting(5))
    run(config)
    run(small_config(tmp_path / "whole"))
    paths = StudyPaths(tmp_path, "small")
    assert not paths.journal.exists()
    found = reading(paths, url).evaluations()
    assert story(found) == story(results(tmp_path / "whole").evaluations)
    remove(paths, url)
    with pytest.raises(StudyError, match=r"The study 'small' is not in sqlite:///"):
        reading(paths, url)


def test_a_database_that_cannot_be_opened_is_an_error_without_its_password(
    tmp_path: Path,
) -> None:
    url = "postgresql+nodriver://me:secret@localhost/db"
    with pytest.raises(StudyError, match=r"The storage postgresql\+nodriver://me:\*\*\*@") as got:
        reading(StudyPaths(tmp_path, "small"), url)
    assert "secret" not in str(got.value)
    assert hide_password("no url at all") == "no url at all"


def test_the_password_of_a_url_is_never_stored(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'team.db'}?password=1"
    config = small_config(tmp_path, tracking__mlflow_uri="postgresql://me:secret@localhost/db")
    header = prepared(config).header(started=0.0, reference=REFERENCE, precision="fp32")
    assert "secret" not in json.dumps(header.as_dict())
    assert url.startswith("sqlite")


def test_a_study_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    run(small_config(tmp_path))
    with pytest.raises(StudyError, match=r"There is no study 'smal' in .* There are: small\."):
        existing(tmp_path, "smal")
    with pytest.raises(StudyError, match=r"There is none yet\."):
        existing(tmp_path / "other", "small")


def test_trials_in_optuna_carry_values_and_reasons(tmp_path: Path) -> None:
    run(small_config(tmp_path))
    paths = StudyPaths(tmp_path, "small")
    backend = optuna.storages.journal.JournalFileBackend(str(paths.journal))
    study = optuna.load_study(study_name="small", storage=optuna.storages.JournalStorage(backend))
    by_number = {e.trial: e for e in results(tmp_path).evaluations}
    for trial in study.trials:
        evaluation = by_number[trial.number]
        if evaluation.kind == "trained":
            assert trial.values == [o.value(evaluation) for o in GOALS]
        else:
            assert trial.state == optuna.trial.TrialState.FAIL


def facts(evaluations: list[Evaluation]) -> list[tuple[Any, ...]]:
    """Return the story without whether a failure was remembered.

    A driver that is killed after the latency table has a failure and before the study's records
    have it remembers that failure when it goes on.
    """
    return [(*known, str(last).replace("remembered: ", "")) for *known, last in story(evaluations)]


@pytest.mark.slow
def test_kill_nine_at_any_moment_loses_and_doubles_nothing(tmp_path: Path, shared: Path) -> None:
    """A driver killed again and again ends with the records of one that never was."""
    n_trials = 14
    root = tmp_path / "killed"
    journal = StudyPaths(root, "small").journal
    root.mkdir()
    shutil.copyfile(template(shared), root / "mlflow.db")
    sizes = [0]
    for kill_beyond in (1_500, 9_000, 16_000, 24_000, None):
        driver = started(drive, root, n_trials, kill_beyond)
        driver.join()
        assert driver.exitcode == (0 if kill_beyond is None else -signal.SIGKILL)
        sizes.append(journal.stat().st_size)
    assert sizes == sorted(set(sizes)), "the driver was killed at the same moment twice"
    run(small_config(tmp_path / "whole", budget__trials=n_trials))
    found = results(root)
    assert facts(found.evaluations) == facts(results(tmp_path / "whole").evaluations)
    assert found.state == "finished"
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{root / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("tests")
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    children = [r for r in runs if "archfront.trial" in r.data.tags]
    assert len(runs) == len(children) + 1, "one parent run"
    assert sorted(r.data.tags["archfront.trial"] for r in children) == sorted(
        f"{e.trial}:{e.rung}:{e.attempt}" for e in found.evaluations
    )
    kinds = {r.data.tags["archfront.trial"]: r.data.tags["archfront.outcome"] for r in children}
    assert kinds == {f"{e.trial}:{e.rung}:{e.attempt}": e.kind for e in found.evaluations}
    assert all(r.info.status != "RUNNING" for r in children)


@pytest.mark.parametrize("is_there", [False, True])
def test_a_study_that_fails_before_it_begins_leaves_nothing(
    tmp_path: Path, is_there: bool
) -> None:
    root = tmp_path / "root"
    if is_there:
        (root / "studies" / "other").mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    with (
        pytest.raises(DataError, match="bad images"),
        driving(StudyPaths(root, "new"), None, GOALS),
    ):
        raise DataError("bad images")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_database_forgets_a_study_that_fails_before_it_begins(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'optuna.db'}"
    with pytest.raises(DataError), driving(StudyPaths(tmp_path / "root", "new"), url, GOALS):
        raise DataError("bad images")
    assert optuna.get_all_study_names(url) == []
    assert not (tmp_path / "root").exists()


def test_a_study_that_has_begun_or_was_there_stays_when_its_run_fails(tmp_path: Path) -> None:
    paths = StudyPaths(tmp_path, "small")
    run(small_config(tmp_path))
    with pytest.raises(DataError), driving(paths, None, GOALS):
        raise DataError("bad images")
    assert paths.journal.is_file()
    kept = StudyPaths(tmp_path, "mine")
    kept.folder.mkdir()
    (kept.folder / "notes.txt").write_text("mine")
    with pytest.raises(DataError), driving(kept, None, GOALS):
        raise DataError("bad images")
    assert (kept.folder / "notes.txt").is_file()


@pytest.mark.parametrize("reason", [errno.EROFS, errno.EACCES, errno.ENOTDIR])
def test_a_root_that_cannot_be_written_is_told_with_its_option(
    reason: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mkdir(path: Path, *_: Any, **__: Any) -> None:
        raise OSError(reason, os.strerror(reason), str(path))

    monkeypatch.setattr(Path, "mkdir", mkdir)
    place = f"{tmp_path}/root/studies/small"
    said = rf"^tracking\.root: {place} cannot be made: {os.strerror(reason)}\. Give a folder"
    with pytest.raises(StudyError, match=said):
        run(small_config(tmp_path / "root"))


def test_a_root_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "root").touch()
    with pytest.raises(StudyError, match=r"^tracking\.root: .*Not a directory\. Give a folder"):
        run(small_config(tmp_path / "root"))
