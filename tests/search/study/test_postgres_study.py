"""Studies whose records are in a team's PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from archfront.search.api.study_handle import Study
from archfront.search.config.compose import compose, load
from archfront.search.config.hidden_urls import URLS, without_passwords
from archfront.search.config.settings import latency_table
from archfront.search.errors import ConfigError, DatabaseError
from archfront.search.prepare.recorded import study_of
from archfront.search.records.events import Event, StudyFinished, TrialFinished
from archfront.search.records.paths import StudyPaths
from archfront.search.records.storage_urls import STORAGE_VARIABLE
from archfront.search.records.store import reading
from archfront.search.results.results import Results
from archfront.search.tracking.registry import Registry
from archfront.search.tracking.tracker import Tracker
from tests.support.command import Output, fails, succeeds
from tests.support.composed import built, refused
from tests.support.postgres_server import PASSWORD, Server, execute
from tests.support.small_study import run, small_config
from tests.support.study_engines import Interrupting, results, story

TABLES = "SELECT quote_ident(table_schema) || '.' || quote_ident(table_name) FROM "
TABLES += "information_schema.tables WHERE table_schema IN ('archfront', 'public')"


def contents(url: str, root: Path) -> str:
    """Return all text in the tables of a database and in the files of a root."""
    tables = [name for (name,) in execute(url, TABLES)]
    rows = [str(execute(url, f"SELECT one::text FROM {name} one")) for name in tables]
    files = [p.read_text(errors="replace") for p in root.rglob("*") if p.is_file()]
    assert len(tables) > 5
    assert len(files) > 5
    return "\n".join([*rows, *files])


def test_a_study_is_the_same_through_restarts_ends_and_an_absence_of_the_database(
    postgres: Server, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_config(tmp_path, tracking__storage_url=database)
    n_ended = 0

    def restart(event: Event) -> None:
        nonlocal n_ended
        if isinstance(event, TrialFinished):
            n_ended += 1
            if n_ended in (1, 3):
                (postgres.stop if n_ended == 1 else postgres.kill)()
                postgres.start()

    def end(event: Event) -> None:
        if isinstance(event, TrialFinished):
            postgres.stop()

    table = latency_table(config)
    assert run(config, engine=Interrupting(8), followers=(restart,), table=table).state == (
        "interrupted"
    )
    assert n_ended > 3
    monkeypatch.setattr("archfront.search.records.postgres.WAIT_S", 0.1)
    try:
        stopped = run(config, followers=(end,), table=table)
        assert stopped.state == "stopped"
        assert "no server answers at 127.0.0.1" in stopped.reason
        with pytest.raises(DatabaseError, match="no server answers"):
            run(config)
    finally:
        postgres.start()
    assert run(config, table=table).state == "finished"
    paths = StudyPaths(tmp_path, "small")
    assert not paths.journal.exists()
    found = Results.read(reading(paths, database), paths)
    assert (found.state, found.is_driven) == ("finished", False)
    run(small_config(tmp_path / "whole"))
    assert story(found.evaluations) == story(results(tmp_path / "whole").evaluations)
    entries = execute(database, "SELECT count(*), count(DISTINCT number) FROM archfront.journal")
    assert entries[0][0] == entries[0][1]


def test_a_driver_is_seen_from_everywhere_and_its_records_read(
    database: str, tmp_path: Path
) -> None:
    config = small_config(tmp_path / "here", tracking__storage_url=database, budget__trials=2)
    seen: list[str] = []

    def look(event: Event) -> None:
        if not isinstance(event, StudyFinished):
            seen.append(Study("small", tmp_path / "elsewhere", database).state)

    run(config, followers=(look,))
    assert set(seen) == {"running"}
    assert Study("small", tmp_path / "elsewhere", database).state == "finished"


@pytest.mark.slow
def test_everything_of_a_team_is_in_its_database_and_its_password_nowhere(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    """The verbs find MLflow's runs by the URL of the records."""
    root = tmp_path / "root"
    names = ("storage_url", "mlflow_uri", "latency_url")
    config = small_config(root, **{f"tracking__{name}": database for name in names})
    paths = StudyPaths(root, "small")
    tracker = Tracker(paths, database, config.tracking.experiment)
    run(config, followers=(tracker,), table=latency_table(config))
    assert latency_table(config).entries()
    assert not (root / "latency.db").exists()
    monkeypatch.setenv(STORAGE_VARIABLE, database)
    where = ("--root", str(root))
    assert "small" in succeeds(capsys, "list", *where)
    assert "small" in succeeds(capsys, "list", "--root", str(tmp_path / "elsewhere"))
    assert "finished" in succeeds(capsys, "show", "small", *where)
    assert "knee" in succeeds(capsys, "front", "small", *where)
    assert "report.html" in succeeds(capsys, "report", "small", *where)
    runs = "SELECT count(*) FROM runs WHERE lifecycle_stage = 'active'"
    n_runs = execute(database, runs)[0][0]
    assert n_runs == len(reading(paths, database).evaluations()) + 1
    assert PASSWORD not in Registry(paths, database, config.tracking.experiment, "small").uri
    assert PASSWORD not in contents(database, root)
    header = reading(paths, database).header
    assert header is not None
    assert study_of(header).config.tracking == config.tracking
    monkeypatch.delenv(STORAGE_VARIABLE)
    unknown = dict.fromkeys(names)
    assert study_of(header).config.tracking == replace(config.tracking, **unknown)
    told = fails(capsys, 1, "delete", "small", *where, "--storage-url", database + "x", "--yes")
    assert "it has no database" in told
    assert PASSWORD not in told
    removed = succeeds(capsys, "delete", "small", *where, "--storage-url", database, "--yes")
    assert f", {n_runs} MLflow runs." in removed
    assert execute(database, runs) == [(0,)]
    assert execute(database, "SELECT count(*) FROM archfront.journal") == [(0,)]


def test_one_word_sets_all_and_a_stored_configuration_finds_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(STORAGE_VARIABLE, raising=False)
    words = ["data=digits", "tracking=postgres"]
    assert refused(*words) == (
        f"tracking.storage_url: the environment variable {STORAGE_VARIABLE} is not set. Set it, "
        "or give tracking.storage_url=VALUE.",
    )
    url = f"postgresql+pg8000://me:{PASSWORD}@host/db"
    given = built(compose([*words, f"tracking.storage_url={url}"]))
    monkeypatch.setenv(STORAGE_VARIABLE, url)
    config = built(compose(words))
    assert config == given
    assert [getattr(config.tracking, name) for name in URLS] == [url] * 3
    stored = without_passwords(config.as_dict())
    assert PASSWORD not in str(stored)
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(stored), encoding="utf-8")
    assert built(load(path, [])) == config
    monkeypatch.setenv(STORAGE_VARIABLE, url.replace("host", "other"))
    with pytest.raises(ConfigError, match=f"or set {STORAGE_VARIABLE} to it") as caught:
        built(load(path, []))
    assert len(caught.value.problems) == 3
