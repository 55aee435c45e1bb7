"""The races: shares of a dataset, two processes at once, what records tell, aims and results."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from race import (
    ENDED_BY_FORCE,
    Ended,
    Racer,
    Row,
    archfront,
    cores_of,
    quota,
    raced,
    script,
    shared,
)
from race_records import STUDY, Aim, Course, Moment, course, missed, ratio, read_course
from race_results import fresh, has_run, read_runs, run_all, table, told, write_runs

from archfront.search.front.members import build_front
from archfront.search.records.paths import StudyPaths
from archfront.search.records.store import reading
from archfront.search.results.results import Results
from tests.support.small_study import run, small_config

needs_two_cores = pytest.mark.skipif(
    len(os.sched_getaffinity(0)) < 2, reason="a race needs a core for each of two"
)


def write_folder(root: Path, counts: dict[str, dict[str, int]]) -> Path:
    for split, classes in counts.items():
        for name, n_images in classes.items():
            (root / split / name).mkdir(parents=True)
            for number in range(n_images):
                (root / split / name / f"{number}.png").write_bytes(name.encode())
    return root


@pytest.mark.parametrize(
    ("counts", "n_images", "expected"),
    [
        ([60, 30, 10], 10, [6, 3, 1]),
        ([60, 30, 10], 100, [60, 30, 10]),
        ([5, 5, 5], 7, [3, 2, 2]),
        ([97, 2, 1], 10, [8, 1, 1]),
        ([1, 1, 98], 3, [1, 1, 1]),
    ],
)
def test_a_share_has_each_class_in_proportion_and_at_least_one(
    counts: list[int], n_images: int, expected: list[int]
) -> None:
    assert quota(counts, n_images) == expected


def test_a_share_holds_other_images_of_each_split_and_is_made_once(tmp_path: Path) -> None:
    counts = {"train": {"a": 40, "b": 20}, "val": {"a": 4, "b": 2}, "test": {"a": 1, "b": 1}}
    source = write_folder(tmp_path / "given", counts)
    found = shared(source, tmp_path / "share", {"train": 12, "val": None})
    names = [len(list((found / "train" / name).iterdir())) for name in "ab"]
    assert names == [8, 4]
    assert len(list(found.glob("val/*/*"))) == 6
    assert not (found / "test").exists()
    before = {path: path.stat().st_mtime_ns for path in found.rglob("*")}
    assert shared(source, found, {"train": 12, "val": None}) == found
    assert before == {path: path.stat().st_mtime_ns for path in found.rglob("*")}


def test_all_of_a_dataset_is_the_dataset_itself(tmp_path: Path) -> None:
    source = write_folder(tmp_path, {"train": {"a": 1}, "val": {"a": 1}})
    assert shared(source, tmp_path / "share", {"train": None, "val": None}) == source


def test_what_a_share_lacks_is_said(tmp_path: Path) -> None:
    source = write_folder(tmp_path, {"train": {"a": 2}})
    with pytest.raises(SystemExit, match="has no folder 'val'"):
        shared(source, tmp_path / "share", {"train": 1, "val": 1})
    with pytest.raises(SystemExit, match="has 2 images and 3 are needed"):
        shared(source, tmp_path / "share", {"train": 3})


@needs_two_cores
def test_racers_have_a_core_of_their_own_and_one_thread(tmp_path: Path) -> None:
    program = (
        "import json, os; print(json.dumps({'n': len(os.sched_getaffinity(0)),"
        "'core': min(os.sched_getaffinity(0)), 'threads': os.environ['OMP_NUM_THREADS']}))"
    )
    # A process may run before its core is given: wait for it, as the imports of a racer do.
    waiting = "import os\nwhile len(os.sched_getaffinity(0)) > 1: pass\n" + program
    racers = [
        Racer(name, (sys.executable, "-c", waiting), tmp_path / f"{name}.log") for name in "ab"
    ]
    found = {name: one.lines()[0] for name, one in raced(racers, 1.0).items()}
    assert [row["n"] for row in found.values()] == [1, 1]
    assert found["a"]["core"] != found["b"]["core"]
    assert {row["threads"] for row in found.values()} == {"1"}
    assert cores_of(2, 0) == cores_of(2, 1)[::-1]


@needs_two_cores
def test_a_status_is_kept_and_what_is_no_json_is_left_out(tmp_path: Path) -> None:
    programs = {
        "a": "print('{\"x\": 1}'); print('{\"x\"'); print(2); raise SystemExit(3)",
        "b": "pass",
    }
    racers = [
        Racer(name, (sys.executable, "-c", text), tmp_path / f"{name}.log")
        for name, text in programs.items()
    ]
    found = raced(racers, 1.0)
    assert [found[name].status for name in "ab"] == [3, 0]
    assert found["a"].lines() == [{"x": 1}]
    assert found["a"].seconds > 0


@needs_two_cores
def test_what_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("race.STARTING_S", 0.0)
    hanging = Racer("a", (sys.executable, "-c", "while True: pass"), tmp_path / "a.log")
    assert raced([hanging], 0.001)["a"].status == ENDED_BY_FORCE


def test_archfront_gets_one_worker_and_a_memory_of_its_own(tmp_path: Path) -> None:
    racer = archfront(tmp_path, ["data=digits"], minutes=3, seed=2)
    assert {"engine.workers=1", "engine.threads=1", "seed=2", "budget.minutes=3"} < {
        *racer.command
    }
    assert f"tracking.device_db={tmp_path / 'device' / 'latency.db'}" in racer.command
    assert script(tmp_path, "plain_transfer.py", "--x").command[-1] == "--x"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    root = tmp_path_factory.mktemp("race")
    run(small_config(root, study=STUDY, task__epochs=9))
    places = StudyPaths(root, STUDY)
    return Results.read(reading(places, None), places)


def test_a_course_follows_the_front(results: Results) -> None:
    started = min(e.started for e in results.evaluations) - 10
    found = course(results, started=started, seconds=1000)
    trained = [e for e in results.evaluations if e.kind == "trained"]
    assert len(found.moments) == len(trained)
    assert [m.seconds for m in found.moments] == sorted(m.seconds for m in found.moments)
    front = build_front(results.evaluations, results.objectives)
    assert [m.metric for m in found.members] == [m.metric for m in front]
    assert found.best is not None
    assert found.best.metric == max(m.metric for m in front) == found.moments[-1].best
    assert found.n_full == sum(e.is_top for e in trained) < len(trained)
    assert found.first_s == round(min(e.started + e.seconds - started for e in trained), 2)
    assert 10 <= found.first_s < 1000
    assert found.n_late == 0
    assert json.loads(json.dumps(found.as_row()))["members"][0]["network"]


def test_what_ended_after_the_minutes_counts_nowhere(results: Results) -> None:
    started = min(e.started for e in results.evaluations)
    ends = sorted(e.started + e.seconds - started for e in results.evaluations)
    whole = course(results, started=started, seconds=1000)
    cut = course(results, started=started, seconds=ends[len(ends) // 2])
    assert len(cut.moments) + cut.n_late == len(whole.moments)
    assert cut.n_late > 0
    assert whole.moments[: len(cut.moments)] == cut.moments


def test_a_study_without_records_has_no_member_and_says_why(tmp_path: Path) -> None:
    found = read_course(tmp_path, started=0, seconds=60)
    assert (found.members, found.first_s, found.best, found.state) == ((), None, None, "failed")
    assert "has no records" in found.reason
    assert found.least_members(0) == 0


@pytest.mark.parametrize(
    ("counts", "least"),
    [
        ({50: 0, 100: 1, 130: 2}, 1),
        ({50: 0, 130: 1}, 0),
        ({50: 2, 130: 1, 140: 3}, 1),
        ({50: 2}, 2),
        ({}, 0),
    ],
)
def test_the_fewest_members_after_two_minutes(counts: dict[int, int], least: int) -> None:
    moments = tuple(Moment(s, n, None) for s, n in counts.items())
    assert Course(moments, (), 0, 0, 0, "", "").least_members(120) == least


def test_an_aim_says_in_words_whether_it_is_met() -> None:
    aims = [
        Aim("members", 2, 3, "at least"),
        Aim("seconds", 60.0, 60.0, "at most"),
        Aim("ratio", None, 1.1, "at least"),
    ]
    assert [str(aim) for aim in aims] == [
        "MISSED: members 2, aim at least 3",
        "met: seconds 60, aim at most 60",
        "MISSED: ratio none, aim at least 1.1",
    ]
    assert missed(aims) == "members; ratio"
    assert aims[0].as_row()["is_met"] is False


def test_a_ratio_needs_both() -> None:
    assert ratio(1.0, 2.0) == 0.5
    assert ratio(None, 2.0) is ratio(1.0, None) is ratio(1.0, 0.0) is None


def test_runs_are_added_to_a_file_and_found_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results" / "race.json"
    assert read_runs(out) == []
    runs = [{"settings": {"seed": 0}, "figures": {"best": 0.12345, "first_s": None}}]
    write_runs(out, runs)
    assert read_runs(out) == runs
    assert has_run(runs, {"seed": 0})
    assert not has_run(runs, {"seed": 1})
    assert "found already" in capsys.readouterr().out
    assert table(runs, ("seed", "best", "first_s")).splitlines()[-1] == "| 0 | 0.123 | none |"


def test_runs_that_are_in_the_file_are_not_done_again(tmp_path: Path) -> None:
    out, done = tmp_path / "race.json", []

    def run_one(settings: Row, folder: Path) -> Row:
        assert list(folder.iterdir()) == []
        (folder / "left behind").touch()
        done.append(settings["seed"])
        return {"settings": settings, "figures": {}}

    run_all(out, tmp_path, [{"seed": 0}], run_one)
    runs = run_all(out, tmp_path, [{"seed": 0}, {"seed": 1}], run_one)
    assert done == [0, 1]
    assert runs == read_runs(out)


def test_a_row_tells_what_was_missed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    aims = [Aim("members", 2, 3, "at least")]
    nothing = Course((), (), 0, 0, 0, "failed", "no reason")
    ended = {"archfront": Ended(0.0, 61.25, 1, tmp_path)}
    row = told({"seed": 0}, nothing.figures(), aims, nothing, ended)
    assert row["figures"]["missed"] == "members"
    assert row["figures"]["ended_s"] == 61.2
    said = capsys.readouterr().out
    assert "MISSED: members 2, aim at least 3" in said
    assert "archfront ended with 1: no reason" in said


def test_a_fresh_folder_has_nothing_in_it(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert list(fresh(tmp_path / "a").iterdir()) == []
