"""The command: its help, its words, and ``run`` as far as the configuration."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import yaml

from archfront.search.cli import VERBS, main
from archfront.search.config.build import build
from archfront.search.config.compose import GROUPS, choices
from tests.support.command import Output, fails, succeeds, wrong_use


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder, without the variables of whoever runs the tests."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for name in ("ARCHFRONT_ROOT", "ARCHFRONT_DEVICE_DB", "ARCHFRONT_STORAGE_URL"):
        monkeypatch.delenv(name, raising=False)


class TestHelp:
    @pytest.mark.parametrize("word", ["--help", "-h", "help"])
    def test_the_top_names_every_verb_and_first_steps(self, capsys: Output, word: str) -> None:
        text = succeeds(capsys, word)
        assert all(f"\n  {verb:<9} {meaning}" in text for verb, meaning in VERBS.items())
        assert "archfront run experiment=digits" in text

    def test_no_words_give_the_help_and_say_that_it_was_no_use(self, capsys: Output) -> None:
        assert main([]) == 2
        assert capsys.readouterr().out.startswith("usage: archfront VERB")

    @pytest.mark.parametrize("verb", VERBS)
    def test_every_verb_has_help(self, capsys: Output, verb: str) -> None:
        with pytest.raises(SystemExit, match="0"):
            main([verb, "--help"])
        text = capsys.readouterr().out
        assert text.startswith(f"usage: archfront {verb}")
        assert "--" in text

    def test_the_help_of_run_teaches_by_examples(self, capsys: Output) -> None:
        with pytest.raises(SystemExit, match="0"):
            main(["run", "--help"])
        text = capsys.readouterr().out
        assert text.count("\n  archfront run ") >= 4
        assert "--dry-run" in text

    @pytest.mark.parametrize("group", GROUPS)
    def test_the_help_of_run_names_every_file_of_a_group(self, capsys: Output, group: str) -> None:
        with pytest.raises(SystemExit, match="0"):
            main(["run", "--help"])
        line = capsys.readouterr().out.split(f" {group}=")[1].split()[0]
        assert [name for name in line.split("|") if name != "auto"] == choices(group)
        assert ("auto" in line.split("|")) is (group == "data")

    def test_the_version_is_the_package_s(self, capsys: Output) -> None:
        name, number = succeeds(capsys, "--version").split()
        assert name == "archfront"
        assert number[0].isdigit()

    def test_the_package_is_the_command(
        self, capsys: Output, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sys.argv", ["archfront", "--version"])
        with pytest.raises(SystemExit) as ended:
            runpy.run_module("archfront", run_name="__main__")
        assert ended.value.code == 0
        assert capsys.readouterr().out == succeeds(capsys, "--version")

    def test_an_unknown_verb_gets_the_nearest(self, capsys: Output) -> None:
        assert fails(capsys, 2, "fornt", "list") == (
            "Unknown verb 'fornt'. Did you mean front? Known: run, front, list, show, report, "
            "delete, ui, serve, watch, weights, catalog, latency, cluster, profile, advise, "
            "refit, variants, export, register, predict, reproduce."
        )

    def test_an_unknown_flag_is_wrong_use(self, capsys: Output) -> None:
        assert fails(capsys, 2, "list", "--jsn") == (
            "--jsn: archfront list takes no such word. Did you mean --json? "
            "archfront list --help has all."
        )
        words = ("export", "flowers", "--out", "x", "format=hf", "--qq", "5")
        said = fails(capsys, 2, *words)
        assert "format=hf: archfront export takes flags, so write --format hf." in said
        assert "--qq: archfront export takes no such word. archfront export --help" in said
        assert " 5:" not in said
        assert "flowers2: archfront show takes" in fails(capsys, 2, "show", "x", "flowers2")
        assert "the following arguments are required: study" in wrong_use(capsys, "front")
        assert "invalid choice: 'get' (choose from 'fetch')" in wrong_use(capsys, "weights", "get")
        assert "not allowed with" in wrong_use(capsys, "front", "x", "--csv", "--json")


class TestRun:
    @pytest.mark.parametrize(
        "words",
        [
            ("run", "--cfg", "job", "experiment=digits", "seed=3", "tracking.root=x"),
            ("run", "experiment=digits", "seed=3", "--cfg", "job", "tracking.root=x"),
            ("run", "experiment=digits", "seed=3", "tracking.root=x", "--cfg=job"),
            ("--cfg", "job", "run", "experiment=digits", "seed=3", "tracking.root=x"),
        ],
    )
    def test_flags_may_stand_anywhere(
        self, capsys: Output, tmp_path: Path, words: tuple[str, ...]
    ) -> None:
        config = build(yaml.safe_load(succeeds(capsys, *words)))
        assert (config.study, config.seed) == ("digits", 3)
        assert config.tracking.root == str(tmp_path / "here" / "x")

    def test_the_composed_configuration_composes_to_itself(
        self, capsys: Output, tmp_path: Path
    ) -> None:
        words = ("run", "experiment=digits", "--cfg", "job")
        text = succeeds(capsys, *words, "tracking.experiment=a b,c=d(e)${f}'")
        file = tmp_path / "my study.yaml"
        file.write_text(text, encoding="utf-8")
        assert succeeds(capsys, "run", "--config", str(file), "--cfg", "job") == text
        again = succeeds(capsys, "run", "seed=5", "--config", str(file), "--cfg", "job")
        assert again == text.replace("seed: 0\n", "seed: 5\n", 1)

    def test_files_of_ones_own_are_found(self, capsys: Output, tmp_path: Path) -> None:
        own = tmp_path / "my own, files" / "data" / "mine.yaml"
        own.parent.mkdir(parents=True)
        own.write_text("defaults: [digits]\ntrain: 500\n")
        words = ("run", "--config-dir", str(own.parents[1]), "data=mine", "--cfg", "job")
        assert yaml.safe_load(succeeds(capsys, *words))["data"]["train"] == 500.0

    def test_every_problem_is_shown(self, capsys: Output) -> None:
        words = (
            "run",
            "--cfg",
            "job",
            "data=digits",
            "seed=x",
            "budget.trails=3",
            "engine.workers=0",
        )
        assert fails(capsys, 2, *words).split("\n") == [
            "3 problems in the configuration:",
            "  1. seed: a whole number from 0 to 2147483648 is needed; got 'x'.",
            "  2. budget.trails: no such option. Did you mean budget.trials? Known under budget: "
            "folds, max_failures, max_rejections, minutes, rungs, trial_minutes, trials.",
            "  3. engine.workers: a whole number from 1 to 256 or null is needed; got '0'.",
        ]

    def test_one_problem_is_shown_alone(self, capsys: Output) -> None:
        assert fails(capsys, 2, "run") == (
            "data.root: data=folder needs the folder with one folder of images per class; got "
            "nothing. Give data.root=FOLDER."
        )

    def test_weights_takes_the_same_words(self, capsys: Output) -> None:
        assert fails(capsys, 2, "weights", "fetch", "space=smal") == (
            "space=smal: there is no such choice. Did you mean space=small? Known: "
            f"{', '.join(choices('space'))}."
        )

    def test_two_sources_of_a_configuration_are_refused(self, capsys: Output) -> None:
        words = ("run", "--config", "study.yaml", "--config-dir", "x")
        assert fails(capsys, 2, *words).startswith("--config and --config-dir: a composed")

    def test_nothing_is_left_in_the_working_folder(self, capsys: Output, tmp_path: Path) -> None:
        succeeds(capsys, "run", "experiment=digits", "--cfg", "job")
        fails(capsys, 2, "run", "seed=x")
        assert list((tmp_path / "here").iterdir()) == []
