"""Members trained in full: what runs, what is not run again, and what all of it says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from scipy.stats import kendalltau

from archfront.search.cli import main
from archfront.search.errors import StudyError
from archfront.search.records.refit_records import Refit
from archfront.search.report import pages
from archfront.search.report.document import render
from archfront.search.report.refit_text import remarks, sentences, verdict
from archfront.search.results.refit_results import (
    differs,
    folder_of,
    member_of,
    refits_of,
    summary,
)
from archfront.search.results.select_members import chosen_trials
from archfront.search.retrain.refit_members import FullTraining, RefitRequest, refit, steps_of
from archfront.trainers.errors import DamagedError
from archfront.trainers.spec import EpochRow
from archfront.trainers.sums import write_sum
from archfront.trainers.training.full import FullSettings
from tests.support import small_refits
from tests.support.command import Output, fails, succeeds
from tests.support.small_refits import write, write_refits
from tests.support.study_headers import with_other_data

ORDER = RefitRequest((0, 1), epochs=2, seeds=2, full=FullSettings(0.9, 1))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "studies"


def all_of(root: Path, order: RefitRequest) -> list[tuple[FullTraining, Refit]]:
    found = small_refits.results(root)
    return list(refit(found, small_refits.study(found), order))


def flip_a_byte(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


class TestTraining:
    @pytest.mark.slow
    def test_every_member_and_seed_is_trained_once(
        self, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found = write(root)
        made = all_of(root, ORDER)
        assert [(r.trial, r.seed) for _, r in made] == [(0, 0), (0, 1), (1, 0), (1, 1)]
        assert all(step.done is None for step, _ in made)
        assert refits_of(found) == [record for _, record in made]
        for _, record in made:
            assert record.metrics.keys() == {"val", "test"}
            low, high = record.intervals["test"]
            assert low <= record.metrics["test"]["accuracy"] <= high
            assert (found.paths.folder / record.weights).is_file()
        monkeypatch.setattr("archfront.trainers.training.full.train_full", refuse)
        again = all_of(root, ORDER)
        assert all(step.done is not None for step, _ in again)
        assert [record for _, record in again] == [record for _, record in made]

    @pytest.mark.slow
    def test_what_was_interrupted_goes_on_where_it_was(self, root: Path) -> None:
        found = write(root)

        def stop(step: FullTraining, row: EpochRow) -> None:
            if (step.trial, step.seed, row.epoch) == (0, 1, 2):
                raise KeyboardInterrupt

        trainings: Iterator[tuple[FullTraining, Refit]] = refit(
            found, small_refits.study(found), ORDER, stop
        )
        with pytest.raises(KeyboardInterrupt):
            list(trainings)
        assert [(r.trial, r.seed) for r in refits_of(found)] == [(0, 0)]
        made = all_of(root, ORDER)
        assert [step.done is not None for step, _ in made] == [True, False, False, False]

    def test_another_question_is_trained_anew(self, root: Path) -> None:
        found = write(root)
        write_refits(found, 0, [0.6], splits=("val", "test"))
        study = small_refits.study(found)
        same = RefitRequest((0,), 2, 1, FullSettings(0.9, 1))
        longer = RefitRequest((0,), 3, 1, FullSettings(0.9, 1))
        assert [step.done is None for step in steps_of(found, study, same)] == [False]
        assert [step.done is None for step in steps_of(found, study, longer)] == [True]

    def test_a_training_whose_weights_are_damaged_is_made_again(self, root: Path) -> None:
        """Damaged weights were exported without a word, and another refit left them so."""
        found = write(root)
        write_refits(found, 0, [0.6], splits=("val", "test"))
        weights = member_of(found, "fastest", is_proxy=False).weights
        write_sum(weights)
        flip_a_byte(weights)
        with pytest.raises(DamagedError, match=r"train trial 0 again: archfront refit digits --m"):
            member_of(found, "fastest", is_proxy=False)
        again = RefitRequest((0,), 2, 1, FullSettings(0.9, 1))
        [step] = steps_of(found, small_refits.study(found), again)
        assert step.done is None

    @pytest.mark.slow
    def test_the_teacher_is_trained_first(self, root: Path) -> None:
        found = write(root)
        order = RefitRequest((0,), 2, 2, FullSettings(0.9, 1), is_taught=True)
        steps = steps_of(found, small_refits.study(found), order)
        assert [(s.trial, s.seed, s.teacher) for s in steps] == [
            (1, 0, None),
            (1, 1, None),
            (0, 0, 1),
            (0, 1, 1),
        ]
        made = all_of(root, RefitRequest((0,), 1, 1, FullSettings(0.9, 1), is_taught=True))
        assert made[-1][1].question["teacher"] == small_refits.evaluations()[1].candidate.id

    def test_a_dataset_that_changed_ends_it(self, root: Path) -> None:
        found = write(root)
        other = replace(found, header=with_other_data(found.begun()))
        with pytest.raises(StudyError, match=r"The dataset of the study 'digits' changed"):
            list(refit(other, small_refits.study(other), ORDER))


def refuse(*given: object, **options: object) -> None:
    raise AssertionError("it was trained again")


class TestSummary:
    def test_nothing_is_said_before_the_first_training(self, root: Path) -> None:
        assert summary(write(root)) is None

    def test_means_and_spreads_are_over_the_seeds(self, root: Path) -> None:
        found = write(root)
        write_refits(found, 0, [0.6, 0.64, 0.68], splits=("val", "test"))
        said = summary(found)
        assert said is not None
        [member] = said.members
        assert member.metric == pytest.approx(0.64)
        assert member.spread == pytest.approx(0.04)
        assert (member.seed, member.n_seeds) == (2, 3)
        assert (member.low, member.high) == pytest.approx((0.66, 0.70))
        assert said.split == "test"

    def test_trainings_of_another_length_are_not_mixed_in(self, root: Path) -> None:
        """A mean over seeds of ten epochs and one of a hundred was given as one of both."""
        found = write(root)
        write_refits(found, 0, [0.6, 0.64], splits=("val", "test"))
        write_refits(found, 1, [0.7], splits=("val", "test"))
        file = folder_of(found, 0, 0) / "refit.json"
        content = json.loads(file.read_text())
        content["question"]["epochs"] = 100
        file.write_text(json.dumps(content))
        assert [(r.trial, r.seed) for r in refits_of(found)] == [(0, 0)]

    def test_without_a_test_split_it_says_that_the_search_saw_the_images(self, root: Path) -> None:
        found = write(root, test=0)
        write_refits(found, 0, [0.6])
        said = summary(found)
        assert said is not None
        assert said.split == "val"
        assert "which the search chose by" in said.split_description

    @pytest.mark.slow
    def test_the_rank_correlation_is_scipys(self, root: Path) -> None:
        found = write(root)
        for trial, accuracy in enumerate([0.7, 0.8, 0.9]):
            write_refits(found, trial, [accuracy])
        said = summary(found)
        assert said is not None
        expected = kendalltau([0.6, 0.8, 0.7], [0.7, 0.8, 0.9])
        assert said.kendall == pytest.approx(expected.statistic)
        assert "over 3 members" in sentences(said)[0]
        # All three are on the front now, and two of them were before.
        assert said.kept_share == pytest.approx(2 / 3)

    def test_two_members_are_too_few_to_rank(self, root: Path) -> None:
        found = write(root)
        write_refits(found, 0, [0.7])
        write_refits(found, 1, [0.8])
        said = summary(found)
        assert said is not None
        assert said.kendall is None
        assert not any("Rank correlation" in line for line in sentences(said))

    def test_of_one_member_nothing_is_said(self, root: Path) -> None:
        found = write(root)
        write_refits(found, 2, [0.7])
        said = summary(found)
        assert said is not None
        assert sentences(said) == []

    def test_a_clear_loss_is_told_with_confidence(self, root: Path) -> None:
        found = write(root)
        write_refits(found, 0, [0.9, 0.91, 0.9])
        write_refits(found, 1, [0.6, 0.61, 0.6])
        said = summary(found)
        assert said is not None
        fast, slow = said.members
        assert fast.is_on_front
        assert slow.dominated_by == (0,)
        assert verdict(slow) == "dominated by 0, with confidence"

    @pytest.mark.slow
    def test_a_loss_within_chance_is_not(self, root: Path) -> None:
        found = write(root)
        write_refits(found, 0, [0.805, 0.80])
        write_refits(found, 1, [0.80, 0.80])
        said = summary(found)
        assert said is not None
        slow = said.members[1]
        assert not slow.is_on_front
        assert slow.dominated_by == ()
        assert "only by chance" in verdict(slow)

    def test_seeds_that_overlap_leave_it_open_whatever_the_images_say(self, root: Path) -> None:
        found = write(root)
        write_refits(found, 0, [0.95, 0.6])
        write_refits(found, 1, [0.7, 0.75])
        said = summary(found)
        assert said is not None
        assert all(member.dominated_by == () for member in said.members)

    def test_a_refit_that_is_worse_than_its_proxy_is_told(self, root: Path) -> None:
        found = write(root)
        write_refits(found, 0, [0.55, 0.57], splits=("val", "test"))  # .60 in the search
        write_refits(found, 1, [0.79], splits=("val", "test"))  # .80: within the interval
        said = summary(found)
        assert said is not None
        worse, other = said.members
        assert remarks(worse) == f"{verdict(worse)}; worse than its proxy"
        assert remarks(other) == verdict(other)
        [sentence] = [line for line in sentences(said) if "worse after" in line]
        assert "accuracy 0.5700 (0.5500 to 0.5900) against 0.6000 on the validation" in sentence
        page = render(pages.record(found))
        assert "worse than its proxy" in page
        assert "against 0.6000 on the validation split" in page

    def test_ties_on_the_front_are_named(self, root: Path) -> None:
        found = write(root)
        write_refits(found, 0, [0.80])
        write_refits(found, 1, [0.805])
        said = summary(found)
        assert said is not None
        assert [verdict(m) for m in said.members] == [
            "front; ties with 1",
            "front; ties with 0",
        ]

    def test_the_report_shows_it(self, root: Path) -> None:
        found = write(root)
        assert "After full training" not in render(pages.record(found))
        write_refits(found, 0, [0.6, 0.62], splits=("val", "test"))
        page = render(pages.record(found))
        assert "After full training" in page
        assert "which the search never saw" in page
        assert "0.6100" in page


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([0.9], [0.5], True),
        ([0.9, 0.9], [0.9, 0.9], False),
        ([0.9, 0.9], [0.8, 0.8], True),
        ([0.9, 0.91, 0.92], [0.8, 0.81, 0.82], True),
        ([0.9, 0.7, 0.8], [0.85, 0.75, 0.65], False),
    ],
)
def test_seeds_differ_when_welchs_test_says_so(
    first: list[float], second: list[float], expected: bool
) -> None:
    assert differs(first, second) is expected


class TestMembers:
    def test_names_stand_for_members(self, root: Path) -> None:
        found = write(root)
        of = small_refits.evaluations()
        assert chosen_trials(found, ["fastest"]) == [0]
        assert chosen_trials(found, ["best", "1"]) == [1]
        assert chosen_trials(found, [of[2].candidate.id[:6]]) == [2]
        assert chosen_trials(found, ["all"]) == [0, 1]
        assert chosen_trials(found, ["knee", "trained"])[1:] != []
        assert sorted(chosen_trials(found, ["trained"])) == [0, 1, 2]

    def test_an_unknown_name_gets_those_of_the_front(self, root: Path) -> None:
        found = write(root)
        ids = [e.candidate.id for e in small_refits.evaluations()]
        expected = (
            rf"Give knee, fastest, best, all, .* the front has 0 \({ids[0]}\), 1 \({ids[1]}\)"
        )
        with pytest.raises(StudyError, match=expected):
            chosen_trials(found, ["kne"])

    def test_the_seed_that_is_best_on_validation_is_exported(self, root: Path) -> None:
        found = write(root)
        write_refits(found, 1, [0.6, 0.8, 0.7], splits=("val", "test"))
        member = member_of(found, "best", is_proxy=False)
        assert member.origin["kind"] == "refit"
        assert member.origin["seed"] == 1
        assert member.origin["test_metrics"] == {"accuracy": 0.8}
        assert member.weights.parent.name == "00001-1"

    def test_a_refit_that_is_worse_than_its_proxy_goes_with_a_warning(self, root: Path) -> None:
        found = write(root)
        write_refits(found, 0, [0.5, 0.59])
        write_refits(found, 1, [0.7])
        assert "warning" not in member_of(found, "fastest", is_proxy=False).origin
        warning = member_of(found, "best", is_proxy=False).origin["warning"]
        assert warning.startswith("Trial 1 is worse after its full training")
        assert "warning" not in member_of(found, "best", is_proxy=True).origin

    def test_a_member_that_was_not_refitted_says_what_to_do(self, root: Path) -> None:
        found = write(root)
        with pytest.raises(
            StudyError, match=r"no refit yet.*refit digits --members 1', or say --proxy"
        ):
            member_of(found, "best", is_proxy=False)
        assert member_of(found, "best", is_proxy=True).origin["kind"] == "proxy"

    def test_damaged_weights_of_a_short_training_are_told(self, root: Path) -> None:
        found = write(root)
        weights = member_of(found, "best", is_proxy=True).weights
        write_sum(weights)
        flip_a_byte(weights)
        with pytest.raises(DamagedError, match=r"is damaged: its SHA-256 is .* --members 1\.$"):
            member_of(found, "best", is_proxy=True)

    @pytest.mark.slow
    def test_weights_that_were_not_kept_are_told(self, root: Path) -> None:
        found = write(root)
        with pytest.raises(StudyError, match=r"The weights of trial 2 are not at .* Refit it"):
            member_of(found, "2", is_proxy=True)


class TestCommand:
    @pytest.mark.slow
    def test_it_trains_and_tells_and_exports(
        self, root: Path, capsys: Output, tmp_path: Path
    ) -> None:
        write(root)
        words = ("refit", "digits", "--root", str(root), "--members", "fastest", "--seeds", "1")
        assert main([*words, "--epochs", "1", "--json"]) == 0
        shown = capsys.readouterr()
        assert shown.err == "note: --epochs 1 is less than the 3 of the search.\n"
        content = json.loads(shown.out)
        assert content["split"] == "test"
        assert [member["trial"] for member in content["members"]] == [0]
        page = (small_refits.results(root).paths.report).read_text(encoding="utf-8")
        assert "After full training" in page
        out = tmp_path / "out"
        said = succeeds(
            capsys, "export", "digits", "--root", str(root), "--member", "0", "--out", str(out)
        )
        assert said.splitlines()[0].endswith("refit weights")
        manifest = json.loads((out / "manifest.json").read_text())
        assert manifest["weights"]["kind"] == "refit"
        assert manifest["weights"]["test_metrics"].keys() >= {"accuracy"}

    def test_an_export_warns_of_a_refit_that_is_worse(
        self, root: Path, capsys: Output, tmp_path: Path
    ) -> None:
        write_refits(write(root), 1, [0.7])
        out = tmp_path / "out"
        words = ("export", "digits", "--root", str(root), "--member", "1", "--no-latency")
        said = succeeds(capsys, *words, "--format", "torchscript", "--out", str(out))
        [line] = [line for line in said.splitlines() if line.startswith("warning: ")]
        assert line.startswith("warning: Trial 1 is worse after its full training")
        assert "against 0.8000 on the validation split" in line
        assert "worse after its full training" in (out / "README.md").read_text()

    def test_flags_that_make_no_sense_are_told_together(self, root: Path, capsys: Output) -> None:
        write(root)
        words = ("refit", "digits", "--root", str(root), "--seeds", "0", "--ema", "1")
        said = fails(capsys, 2, *words, "--teaching", "0")
        assert "--seeds: a whole number of at least 1 is needed; got 0." in said
        assert "--ema: a number from 0 to below 1 is needed; got 1." in said
        assert "--teaching: a share above 0 and up to 1 is needed; got 0." in said

    def test_an_export_without_a_refit_names_the_command(
        self, root: Path, capsys: Output, tmp_path: Path
    ) -> None:
        write(root)
        words = ("export", "digits", "--root", str(root), "--out", str(tmp_path / "out"))
        assert "archfront refit digits --members" in fails(capsys, 1, *words)
