"""What rungs say of each other, against scipy's own and by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from scipy.stats import kendalltau

from archfront.search.records.evaluation import Evaluation, Fidelity, Trained
from archfront.search.records.seconds import PROBE_EPOCHS
from archfront.search.report.document import render
from archfront.search.results.rung_stats import Agreement, agreements, saved
from archfront.search.results.stats import counts
from tests.support.recorded_study import failed, record, rejected, trained

RUNGS = (1, 3, 9)


def at(trial: int, metric: float, rung: int, seconds: float = 1.0) -> Evaluation:
    one = trained(trial, metric, 1.0 + trial)
    assert isinstance(one.outcome, Trained)
    outcome = replace(one.outcome, seconds=seconds)
    return replace(one, rung=rung, n_rungs=3, outcome=outcome)


def climbing() -> list[Evaluation]:
    """Return six trials: all at the first rung, five at the second, two at the top."""
    low = [0.31, 0.52, 0.43, 0.64, 0.55, 0.2]
    middle = [0.5, 0.6, 0.65, 0.8, 0.7]
    records = [at(i, metric, 0) for i, metric in enumerate(low)]
    records += [at(i, metric, 1, seconds=2.0) for i, metric in enumerate(middle)]
    return [*records, at(3, 0.9, 2, seconds=6.0), at(4, 0.8, 2, seconds=6.0)]


def test_agreement_is_kendalls_over_the_trials_that_were_trained_to_both() -> None:
    expected = kendalltau([0.31, 0.52, 0.43, 0.64, 0.55], [0.5, 0.6, 0.65, 0.8, 0.7]).statistic
    assert agreements(climbing()) == [
        Agreement(1, 2, 5, pytest.approx(expected)),
        Agreement(1, 3, 2, None),
        Agreement(2, 3, 2, None),
    ]
    assert expected == pytest.approx(0.8)  # one of ten pairs is in another order


def test_equal_metrics_have_no_agreement() -> None:
    records = [at(i, 0.5, rung) for i in range(5) for rung in (0, 1)]
    assert agreements(records)[0] == Agreement(1, 2, 5, None)


def test_one_rung_has_nothing_to_agree_with() -> None:
    assert agreements([trained(i, 0.5 + i / 10, 1.0) for i in range(5)]) == []


def test_saved_seconds_are_those_of_the_epochs_that_were_not_trained() -> None:
    found = saved([*climbing(), failed(7), rejected(8, 9.0)], RUNGS)
    # Three trials at 3 epochs in 3 s and one at 1 epoch in 1 s: 3 times 6 and 8 s are left.
    assert found.n_trials == 4
    assert found.seconds == pytest.approx(3 * 6 + 8)
    assert found.share == pytest.approx(26 / (26 + 28))


def test_trials_that_stopped_at_their_probe_saved_the_epochs_behind_it() -> None:
    found = saved([replace(trained(0, 0.5, 1.0), n_rungs=3)], (0, 2, 6))
    # A probe costs .3 epochs; it took the 12 s of the outcome.
    assert found.n_trials == 1
    assert found.seconds == pytest.approx(12 / PROBE_EPOCHS * 6)


def test_nothing_trained_saved_nothing() -> None:
    assert saved([failed(0)], RUNGS).share == 0


def test_the_report_tells_of_rungs_where_there_are_any() -> None:
    assert 'id="rungs"' not in render(record())
    page = render(record(evaluations=climbing(), rungs=RUNGS, members=()))
    assert 'id="rungs"' in page
    text = " ".join(page.split())
    assert "Candidates competed after 1, 3 and 9 epochs. Only what was trained for 9 is" in text
    assert "the 4 others to the end would have taken another 26 s" in text
    assert "48% of the training was saved" in text
    assert "<td>1</td><td>3</td> <td>5</td><td>0.80</td>" in text
    assert text.count("<td>3</td><td>9</td>") == 0  # two trials cannot be ranked
    assert "2 were trained in full, 4 stopped at a rung below the top, 0 rejected" in text


def test_a_study_whose_trials_stopped_below_the_top_saved_nothing_and_ranks_nothing() -> None:
    """A report of one probe said that 90 % of the training was saved."""
    one = at(0, 0.5, 0)
    page = render(record(evaluations=[one], rungs=RUNGS, members=()))
    assert 'id="rungs"' not in page
    assert "was saved" not in page
    all_top = [replace(at(i, 0.5 + i / 10, 2), rung=2) for i in range(3)]
    assert "was saved" not in render(record(evaluations=all_top, rungs=RUNGS, members=()))


def test_networks_below_the_top_may_be_on_the_front_where_they_say_how_far_they_are() -> None:
    found = []
    for one in climbing():
        assert isinstance(one.outcome, Trained)
        fidelity = Fidelity(RUNGS[one.rung], 9, 1.0, RUNGS[one.rung])
        found.append(replace(one, outcome=replace(one.outcome, fidelity=fidelity)))
    page = " ".join(render(record(evaluations=found, rungs=RUNGS, members=())).split())
    assert "after 1, 3 and 9 epochs. A network of any of them may be on the front" in page
    assert "Only what was trained" not in page


def test_those_that_may_go_on_wait_and_the_others_stopped() -> None:
    """Trials that were promoted a minute later were called stopped."""
    assert counts(climbing()) == {"trained": 2, "rejected": 0, "failed": 0, "stopped": 4}
    some = {"trained": 2, "rejected": 0, "failed": 0, "waiting": 3, "stopped": 1}
    assert counts(climbing(), {0, 1, 5}) == some
    open_ = frozenset({0, 1, 5})
    page = render(record(evaluations=climbing(), rungs=RUNGS, members=(), waiting=open_))
    text = " ".join(page.split())
    assert "1 stopped at a rung below the top, 3 wait at one, 0 rejected" in text
    assert "the 4 others to the end would take another 26 s" in text
