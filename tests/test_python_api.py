"""``import archfront`` in programs and notebooks: it says and does what the command does."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import archfront as af
from archfront.search.commands.export import ExportOptions
from archfront.search.commands.refit import RefitOptions
from archfront.search.config.compose import compose
from archfront.search.errors import ArtifactError, ConfigError, DataError, StudyError
from archfront.search.records.paths import StudyPaths
from archfront.search.records.store import driving
from tests.support import recorded_store, recorded_study, small_refits
from tests.support.command import Output, fails, succeeds
from tests.support.drawn_images import draw_folder

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "python.md"
TINY = (
    "experiment=digits",
    "space.backbones=test_resnet",
    "space.exclude=[]",
    "space.heads=avg",
    "space.input_sizes=8,16",
    "space.recipe.lr=0.003",
    "space.recipe.augment=none",
    "task.epochs=1",
    "budget.trials=1",
    "engine.threads=1",
    "hardware.max_seconds=0.3",
)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, without the variables of whoever runs the tests."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("ARCHFRONT_DEVICE_DB", str(tmp_path / "latency.db"))
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path / "matplotlib"))
    for name in ("ARCHFRONT_ROOT", "ARCHFRONT_STORAGE_URL"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture
def flowers(tmp_path: Path) -> af.Study:
    """Return a recorded study of 16 trained candidates, without weights."""
    recorded_store.write(tmp_path / "studies")
    return af.open("flowers", root=tmp_path / "studies")


@pytest.fixture
def digits(tmp_path: Path) -> af.Study:
    """Return a recorded study of three trained candidates, the two of its front with weights."""
    small_refits.write(tmp_path / "studies")
    return af.open("digits", root=tmp_path / "studies")


class TestPackage:
    def test_importing_it_loads_nothing_else(self) -> None:
        """Its names are loaded when they are used first."""
        program = (
            "import sys; before = set(sys.modules); import archfront; "
            "print([n for n in set(sys.modules) - before if n.startswith('archfront.')]); "
            "print({'torch', 'pandas', 'numpy', 'mlflow', 'hydra', 'rich'} & set(sys.modules)); "
            "print(dir(archfront))"
        )
        shown = ran([sys.executable, "-c", program], {}).splitlines()
        assert shown[:2] == ["[]", "set()"]
        assert {"run", "open", "Study", "Member", "ArchfrontError"} <= set(eval(shown[2]))

    def test_its_names_are_those_it_lists(self) -> None:
        assert all(getattr(af, name).__doc__ for name in af.__all__)
        assert set(af.__all__) <= set(dir(af))
        with pytest.raises(AttributeError, match="module 'archfront' has no attribute 'rum'"):
            af.rum  # noqa: B018

    def test_opening_a_study_loads_nothing_heavy(self, flowers: af.Study) -> None:
        program = (
            "import sys, archfront as af; study = af.open('flowers', root=sys.argv[1]); "
            "repr(study); study.front; study.plot(); "
            "print({'torch', 'mlflow', 'hydra', 'timm', 'sklearn'} & set(sys.modules))"
        )
        command = [sys.executable, "-c", program, str(flowers.folder.parents[1])]
        assert ran(command, {}) == "set()\n"

    def test_every_error_is_an_archfront_error(self) -> None:
        with pytest.raises(af.ArchfrontError, match=r"There is no study 'roses' in .*mlruns\."):
            af.open("roses")
        with pytest.raises(af.ArchfrontError, match="seed: a whole number"):
            af.run("seed=x", {"data": "digits"})


class TestStudy:
    def test_the_front_is_that_of_the_command(self, flowers: af.Study, capsys: Output) -> None:
        root = str(flowers.folder.parents[1])
        rows = json.loads(succeeds(capsys, "front", "flowers", "--json", "--root", root))
        front = flowers.front
        assert isinstance(front, pd.DataFrame)
        assert set(front.columns) == set(rows[0]) - {"test"}
        for name in ("trial", "candidate_id", "metric", "latency_ms", "is_knee", "ties"):
            assert front[name].tolist() == [row[name] for row in rows]

    def test_test_metrics_have_columns_of_their_own(self, flowers: af.Study) -> None:
        trial = int(flowers.front["trial"].iloc[0])
        places = StudyPaths(flowers.folder.parents[1], "flowers")
        with driving(places, None, list(recorded_study.OBJECTIVES)) as store:
            store.write_scores({trial: {"accuracy": 0.875}})
        front = flowers.front
        assert front["test_accuracy"].iloc[0] == 0.875
        assert front["test_accuracy"].iloc[1:].isna().all()

    def test_the_plot_shows_every_member(self, flowers: af.Study) -> None:
        figure = flowers.plot()
        drawn = {(x, y) for trace in figure.data for x, y in zip(trace.x, trace.y, strict=True)}
        points = zip(flowers.front["latency_ms"], flowers.front["metric"], strict=True)
        assert set(points) <= drawn

    def test_the_report_is_written_when_it_is_missing(self, flowers: af.Study) -> None:
        assert not (flowers.folder / "report.html").exists()
        page = flowers.report
        assert page == flowers.folder / "report.html"
        assert "flowers" in page.read_text(encoding="utf-8")
        page.write_text("mine")
        assert flowers.report.read_text() == "mine"

    def test_it_says_what_it_is(self, flowers: af.Study) -> None:
        n = len(flowers.front)
        assert flowers.state == "finished"
        assert repr(flowers) == (
            f"<Study 'flowers', finished, {n} members on its front, in {flowers.folder}>"
        )

    def test_a_notebook_shows_its_front(self, flowers: af.Study) -> None:
        page = flowers._repr_html_()
        assert page.count("<tr") == len(flowers.front) + 1
        for backbone in flowers.front["backbone"]:
            assert f"<td>{backbone}</td>" in page
        assert "<th>accuracy</th>" in page

    def test_what_a_notebook_shows_is_escaped(
        self, flowers: af.Study, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rows = flowers._results().rows()
        evil = [{**row, "backbone": "<script>alert(1)</script>"} for row in rows]
        monkeypatch.setattr("archfront.search.results.results.Results.rows", lambda self: evil)
        monkeypatch.setattr(flowers, "name", "flowers")
        page = flowers._repr_html_()
        assert "<script>" not in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page

    def test_a_study_without_a_front_says_so(self, tmp_path: Path) -> None:
        places = StudyPaths(tmp_path, "empty")
        with driving(places, None, list(recorded_study.OBJECTIVES)):
            places.config.write_text("{}")
        study = af.open("empty", root=tmp_path)
        assert (study.state, study.front.empty) == ("stopped", True)
        assert "0 members" in repr(study)
        assert study._repr_html_() == "<b>empty</b>, stopped: no candidate is trained yet."
        for ask in (study.plot, study.member):
            with pytest.raises(StudyError, match="'empty' has no trained candidate yet"):
                ask()
        with pytest.raises(StudyError, match="'empty' has no records yet, so no report"):
            _ = study.report

    def test_a_study_that_was_removed_is_still_shown(
        self, flowers: af.Study, capsys: Output
    ) -> None:
        """An object that cannot be printed hides what is wrong with it."""
        root = str(flowers.folder.parents[1])
        succeeds(capsys, "delete", "flowers", "--yes", "--root", root)
        assert repr(flowers).startswith("<Study 'flowers': There is no study 'flowers' in")
        assert "There is no study" in flowers._repr_html_()


class TestMember:
    def test_names_stand_for_what_they_stand_for_in_the_command(self, flowers: af.Study) -> None:
        front = flowers.front
        assert flowers.member().trial == front["trial"][front["is_knee"].idxmax()]
        assert flowers.member("best").trial == front["trial"][front["metric"].idxmax()]
        trial = int(front["trial"].iloc[-1])
        assert flowers.member(trial).candidate_id == front["candidate_id"].iloc[-1]
        with pytest.raises(StudyError, match=rf"'all' stands for {len(front)} candidates"):
            flowers.member("all")
        with pytest.raises(StudyError, match="No trained candidate of the study 'flowers' is"):
            flowers.member("kneee")

    def test_it_says_what_it_is(self, digits: af.Study) -> None:
        member = digits.member("best")
        assert repr(member) == (
            "<Member trial 1 of 'digits': test_resnet@16 timm, accuracy 0.8000, 0.2 ms>"
        )
        assert "test_resnet@16 timm, accuracy 0.8000" in member._repr_html_()

    def test_it_predicts_what_the_command_predicts(
        self, digits: af.Study, here: Path, capsys: Output
    ) -> None:
        rng = np.random.default_rng(3)
        pixels = rng.integers(0, 256, (2, 20, 30, 3), np.uint8)
        files = [here / f"{n}.png" for n in range(2)]
        for file, one in zip(files, pixels, strict=True):
            Image.fromarray(one).save(file)
        root = str(digits.folder.parents[1])
        out = str(here / "out")
        succeeds(
            capsys,
            *("export", "digits", "--root", root, "--out", out, "--proxy", "--no-latency"),
            *("--member", "best"),
        )
        lines = succeeds(capsys, "predict", out, *map(str, files), "--json").splitlines()
        said = [json.loads(line) for line in lines]
        for one in said:
            one.pop("image")
        member = digits.member("best")
        assert member.predict(files) == said
        assert member.predict(str(files[0])) == said[0]
        assert member.predict(Image.open(files[1])) == said[1]
        assert member.predict(pixels[0]) == said[0]
        assert member.predict(pixels) == said
        assert member.predict([pixels[0], files[1]]) == said
        assert member.predict(here / "0.png", min_score=0.5) == said[0]
        for file in (here / "out").iterdir():
            assert file.suffix != ".png"
        assert member.predict(folder_of(files)) == said
        gray = pixels[0, :, :, :1]
        assert member.predict(gray) == member.predict(gray[..., 0])
        assert capsys.readouterr().out == ""

    def test_it_is_exported_once_for_the_same_weights(
        self, digits: af.Study, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pixels = np.zeros((9, 9), np.uint8)
        first = digits.member("best").predict(pixels)
        [folder] = (digits.folder / "predictors").iterdir()
        stamp = (folder / "manifest.json").stat().st_mtime_ns
        assert digits.member("best").predict(pixels) == first
        assert (folder / "manifest.json").stat().st_mtime_ns == stamp
        results = small_refits.results(digits.folder.parents[1])
        small_refits.write_refits(results, 1, [0.9])
        again = digits.member("best").predict(pixels)
        assert again != first, "the weights of the full training are other ones"
        assert digits.member("best", proxy=True).predict(pixels) == first
        assert len(list((digits.folder / "predictors").iterdir())) == 2

    def test_what_is_no_image_is_named(self, digits: af.Study, here: Path) -> None:
        member = digits.member("best")
        with pytest.raises(ArtifactError, match=r"There is no image or folder .*photo\.jpg"):
            member.predict("photo.jpg")
        with pytest.raises(ConfigError, match="a path, a PIL image or an array; got int"):
            member.predict(3)
        with pytest.raises(ConfigError, match="threads: a whole number of at least 1"):
            member.predict("photo.jpg", threads=0)
        wrong = np.zeros((3, 8, 8), np.float32)
        with pytest.raises(ConfigError, match=r"uint8 .* got float32 of shape \(3, 8, 8\)"):
            member.predict(wrong)
        with pytest.raises(ConfigError, match=r"got uint8 of shape \(3, 8, 8\)"):
            member.predict(wrong.astype(np.uint8))
        with pytest.raises(ConfigError, match="a path, a PIL image or an array; got dict"):
            member.predict([{}])
        (here / "bad.png").write_text("no picture")
        with pytest.raises(DataError, match=r"bad\.png: it is not an image of a known format"):
            member.predict("bad.png")

    def test_weights_that_were_not_kept_are_told(self, digits: af.Study) -> None:
        with pytest.raises(StudyError, match="The weights of trial 2 are not at"):
            digits.member(2).predict(np.zeros((9, 9), np.uint8))


class TestRefitAndExport:
    def test_keywords_are_the_options_of_the_verbs(self, digits: af.Study) -> None:
        """And their defaults, wherever they are written twice."""
        import inspect

        from archfront.search.api.export_call import ExportKeywords

        refit = inspect.signature(digits.refit).parameters
        given = {n: p.default for n, p in refit.items() if n not in ("members", "quiet")}
        assert given == {n: v for n, v in vars(RefitOptions()).items() if n != "members"}
        names = set(ExportKeywords.__annotations__) | {"member", "format"}
        assert names == set(vars(ExportOptions()))

    def test_a_refit_and_an_export_are_those_of_the_command(
        self, digits: af.Study, here: Path, capsys: Output
    ) -> None:
        table = digits.refit(members="best", epochs=1, seeds=1, quiet=True)
        assert capsys.readouterr() == ("", "")
        assert table["trial"].tolist() == [1]
        assert 0 <= table["metric"][0] <= 1
        assert "After full training" in digits.report.read_text(encoding="utf-8")
        folder = digits.export("out", member="best", no_latency=True, quiet=True)
        assert capsys.readouterr() == ("", "")
        assert folder == here / "out"
        manifest = json.loads((folder / "manifest.json").read_text())
        assert (manifest["trial"], manifest["weights"]["kind"]) == (1, "refit")
        digits.member("best").export("again", no_latency=True)
        assert "trial 1: test_resnet@16 timm, refit weights" in capsys.readouterr().out
        with pytest.raises(ArtifactError, match="holds an export of trial 1 of 'digits'"):
            digits.export("out", member="best", no_latency=True)

    def test_problems_name_the_keywords(self, digits: af.Study) -> None:
        with pytest.raises(ConfigError) as raised:
            digits.refit(seeds=0, ema=1, members=())
        assert raised.value.problems == (
            "seeds: a whole number of at least 1 is needed; got 0.",
            "ema: a number from 0 to below 1 is needed; got 1.",
            "members: at least one member is needed.",
        )
        with pytest.raises(ConfigError, match=r"max_loss: a share from 0 to 1 is needed; got 2\."):
            digits.export("out", max_loss=2)
        with pytest.raises(ConfigError, match="dynamic_batch: any number of images is not 4"):
            digits.export("out", batch=4, dynamic_batch=True)
        with pytest.raises(TypeError, match="formt"):
            digits.export("out", formt="onnx")

    def test_a_format_that_fails_is_raised_and_the_others_stay(
        self, digits: af.Study, here: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(session: object, *others: object) -> Any:
            raise ArtifactError("its outputs are not finite")

        monkeypatch.setattr("archfront.search.export.ship.score_session", fail_second(fail))
        with pytest.raises(ArtifactError, match=r"0 of 1 format in .*out\. onnx: its outputs"):
            digits.export("out", member="best", proxy=True, no_latency=True, quiet=True)


class TestRun:
    @pytest.mark.parametrize(
        "options",
        [
            ["data=digits", "budget.minutes=30", "data.train=0.5", "space.heads=avg,gem"],
            [{"data": "digits", "budget.minutes": 30, "data.train": 0.5}, "space.heads=avg,gem"],
            [
                {"budget": {"minutes": 30}, "space": {"heads": ["avg", "gem"]}},
                {"data": "digits"},
                {"data": {"train": 0.5}},
            ],
        ],
    )
    def test_a_mapping_means_what_its_words_mean(self, options: list[Any]) -> None:
        from archfront.search.api.keywords import words_of
        from archfront.search.config.build import build

        words = ["data=digits", "budget.minutes=30", "data.train=0.5", "space.heads=avg,gem"]
        found, wanted = compose(words_of(options)), compose(words)
        assert build(found.content, texts=found.texts) == build(wanted.content, texts=wanted.texts)

    def test_values_of_python_are_values_of_the_command(self) -> None:
        from archfront.search.api.keywords import words_of

        given = {
            "budget": {"trials": None, "rungs": []},
            "data.download": True,
            "data": {"root": Path("my photos, v=1"), "palette": {}},
            "space.recipe.lr": (1e-4, 0.5),
        }
        assert words_of([given]) == [
            "budget.trials=null",
            "budget.rungs=[]",
            "data.download=true",
            "data.root=my photos, v=1",
            "data.palette={}",
            "space.recipe.lr=0.0001,0.5",
        ]
        with pytest.raises(ConfigError, match=r"3: an option is text as 'budget.minutes=30'"):
            words_of([3])  # type: ignore[list-item]

    def test_problems_are_those_of_the_command(self, capsys: Output) -> None:
        with pytest.raises(ConfigError) as raised:
            af.run({"data": "digits", "budget": {"trails": 3}, "engine.workers": 0})
        shown = fails(capsys, 2, "run", "data=digits", "budget.trails=3", "engine.workers=0")
        assert all(problem in shown for problem in raised.value.problems)
        assert len(raised.value.problems) == 2

    @pytest.mark.slow
    def test_a_study_is_run_and_shown_as_by_the_command(self, here: Path, capsys: Output) -> None:
        study = af.run(*TINY, {"study": "mine"})
        shown = capsys.readouterr().out
        assert "The study 'mine' is finished: 1 candidate is trained" in shown
        assert "Pareto front, fastest first" in shown
        assert study.folder == here / "mlruns" / "studies" / "mine"
        assert (study.state, len(study.front)) == ("finished", 1)
        again = af.run(config=study.folder / "study.yaml", quiet=True)
        assert capsys.readouterr().out == ""
        assert (again.state, again.folder) == (study.state, study.folder)

    @pytest.mark.slow
    def test_an_interruption_is_raised_when_everything_is_recorded(
        self, here: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from archfront.search.report import terminal

        def interrupt(evaluation: object, *others: object) -> str:
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(terminal, "outcome_line", interrupt)
            with pytest.raises(KeyboardInterrupt):
                af.run(*TINY, "study=mine", "budget.trials=2", quiet=True)
        study = af.open("mine")
        assert study.state == "interrupted"
        assert af.run(*TINY, "study=mine", "budget.trials=2", quiet=True).state == "finished"


@pytest.mark.slow
class TestForeignPackages:
    """A user's own top-level packages search, trainers and conf came in the way."""

    @pytest.fixture
    def foreign(self, tmp_path: Path) -> Path:
        folder = tmp_path / "own code"
        for name in ("search", "trainers", "conf", "search/engine"):
            (folder / name).mkdir(parents=True)
            (folder / name / "__init__.py").write_text(f"raise RuntimeError({name!r})\n")
        (folder / "conf" / "config.yaml").write_text("seed: wrong\n")
        return folder

    def test_the_package_and_the_command_are_not_disturbed(self, foreign: Path) -> None:
        environment = {"PYTHONPATH": f"{foreign}{os.pathsep}{ROOT}"}
        ran([sys.executable, "-c", "import archfront; archfront.run"], environment, foreign)
        shown = ran([*command(), "run", "experiment=digits", "--cfg", "job"], environment, foreign)
        assert shown.startswith("study: digits\nseed: 0\n")

    def test_workers_are_not_disturbed(self, foreign: Path) -> None:
        environment = {"PYTHONPATH": f"{foreign}{os.pathsep}{ROOT}"}
        words = [*TINY, "engine=processes", "study=own"]
        shown = ran([*command(), "run", *words], environment, foreign)
        assert "The study 'own' is finished: 1 candidate is trained" in shown


def command() -> list[str]:
    return [sys.executable, "-m", "archfront.search.cli"]


def ran(words: list[str], environment: dict[str, str], folder: Path | None = None) -> str:
    """Return what a program prints, in a process of its own that succeeds."""
    ended = subprocess.run(
        words,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def folder_of(files: list[Path]) -> Path:
    """Return a folder with links to some files, in their order."""
    folder = files[0].parent / "folder"
    folder.mkdir()
    for file in files:
        (folder / file.name).symlink_to(file)
    return folder


def fail_second(fail: Any) -> Any:
    """Return a scoring that works for the checkpoint and fails for the file made of it."""
    from archfront.search.export.judged import score_session

    calls: list[int] = []

    def scored(*given: Any) -> Any:
        calls.append(1)
        return fail(*given) if len(calls) > 1 else score_session(*given)

    return scored


def examples() -> list[str]:
    """Return the programs of the page, in their order."""
    return re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)


@pytest.mark.slow
def test_the_examples_of_the_page_run(here: Path, capsys: Output) -> None:
    """They run one after the other, as a reader of the page runs them, in small."""
    draw_folder(here / "photos", {"daisy": 12, "rose": 12})
    Image.fromarray(np.zeros((40, 30, 3), np.uint8)).save(here / "photo.jpg")
    small = [word for word in TINY if not word.startswith(("experiment", "budget"))]
    names: dict[str, Any] = {}
    programs = examples()
    assert len(programs) >= 4
    for program in programs:
        exec(compile(in_small(program, small), str(PAGE), "exec"), names)
    assert names["study"].state == "finished"
    assert (here / "knee" / "manifest.json").is_file()


def in_small(program: str, words: list[str]) -> str:
    """Return a program whose studies and trainings are as small as they get."""
    more = ", ".join(map(repr, [*words, "budget.trials=1", "hardware.limits.latency_ms=null"]))
    program = re.sub(r"af\.run\((.*?)\)\n", rf"af.run(\1, {more})\n", program, flags=re.S)
    return program.replace("epochs=60", "epochs=1").replace("seeds=5", "seeds=1")
