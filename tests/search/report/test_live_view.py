"""The part of the screen below the lines of a study, which goes when the study ends."""

from __future__ import annotations

import re
from dataclasses import replace

from archfront.search.records.events import (
    EpochFinished,
    FilesSent,
    RungFinished,
    StudyFinished,
    StudyStarted,
    TrialFinished,
    TrialProposed,
    TrialsStopped,
    WeightsFetched,
)
from archfront.search.report.live_view import SHOWN
from archfront.search.report.terminal import PlainView
from tests.support.recorded_study import candidate, trained
from tests.support.study_screen import (
    SEQUENCE,
    Screen,
    console,
    header,
    live,
    long_front,
    printed,
    shown,
    started,
)


def test_files_that_go_to_a_node_show_how_far_they_are_and_stay_as_a_line() -> None:
    view, to, _ = live()
    view(StudyStarted("digits", header(), (), True))
    view(FilesSent("pi", 12.5, 50.0))
    assert re.search(r"files to pi .*12\.5 of 50 MB", shown(view))
    assert "sent" not in printed(to)
    view(FilesSent("pi", 50.0, 50.0))
    assert "files to pi" not in shown(view)
    assert "sent      50 MB to node pi" in printed(to)


def test_weights_that_are_fetched_show_how_far_they_are_and_stay_as_a_line() -> None:
    view, to, _ = live()
    view(StudyStarted("digits", header(rungs=(1, 3, 8)), (), True))
    view(TrialProposed(0, candidate()))
    view(WeightsFetched(0, "resnet18", 12.5, 46.8))
    assert "trial 0: fetching the weights of resnet18, 12 of 47 MB" in shown(view)
    assert "fetched" not in printed(to)
    view(WeightsFetched(0, "resnet18", 46.8, 46.8))
    assert "trial 0: training resnet18" in shown(view)
    view.close()
    assert "fetched   the weights of resnet18, 47 MB" in printed(to)


def test_a_trial_waits_until_it_is_told_that_it_stopped() -> None:
    view, _, _ = live()
    first, second = (replace(trained(i, 0.5, 2.5), n_rungs=3) for i in range(2))
    view(StudyStarted("digits", header(rungs=(1, 3, 8)), (first,), True, frozenset({0})))
    view(RungFinished(second))
    assert "2 waiting" in shown(view)
    view(TrialsStopped((0,)))
    assert "1 waiting   1 stopped" in shown(view)
    view(TrialFinished(replace(second, rung=2)))
    assert "1 trained" in shown(view)
    assert "waiting" not in shown(view)
    view.close()


def test_the_live_part_follows_a_trial() -> None:
    view, _, clock = live()
    view(started(replace(trained(9, 0.8, 3.0), seconds=60.0)))
    assert "1 trained   0 rejected   0 failed   1 min used" in shown(view)
    assert "1 of 4 trained" in shown(view)
    assert "1 of 10 min" in shown(view)
    steps = [
        "trial 0: measuring resnet18@32 avg",
        "trial 0: training resnet18@32 avg, 2.5 ms",
        "trial 0: training resnet18@32 avg, 2.5 ms  epoch 1 of 3, 0.5000",
    ]
    for event, words in zip(SEQUENCE, steps, strict=False):
        view(event)
        assert words in [line.strip() for line in shown(view).splitlines()]
    view(EpochFinished(0, 2, {"accuracy": 0.625}))
    assert "2.5 ms  epoch 2 of 3, 0.6250" in shown(view)
    for event in SEQUENCE[3:]:
        view(event)
    clock.now += 30
    assert "2 trained   1 rejected   1 failed   1 min 30 s used" in shown(view)
    assert "trial 0:" not in shown(view)
    assert "Front so far" in shown(view)
    view.close()


def test_lines_stay_and_the_live_part_goes() -> None:
    """The last state of the live part once stayed on the screen, above the final table."""
    view, to, _ = live()
    plain_to = console()
    plain = PlainView(plain_to)
    for event in (started(), *SEQUENCE):
        view(event)
        view._live.refresh()
        plain(event)
    on_screen = Screen(printed(to)).text
    assert "1 trained   1 rejected   1 failed" in on_screen
    assert "Front so far" in on_screen
    view(StudyFinished("finished", "all done"))
    view.close()
    view.close()
    assert Screen(printed(to)).text == printed(plain_to).rstrip()
    assert printed(to).rindex("\x1b[?25h") > printed(to).rindex("\x1b[?25l")  # the cursor is back


def test_the_live_part_tells_the_time_and_the_trainings_that_are_left() -> None:
    view, _, clock = live(trials=4, minutes=10)
    view(started())
    assert "0 s used, about 10 min left, about 4 full trainings left" in shown(view)
    view(TrialProposed(0, candidate()))
    clock.now += 60
    assert "trial 0: measuring resnet18@32 avg, for 1 min" in shown(view)
    view(TrialFinished(trained(0, 0.9, 2.5)))
    assert "1 min used, about 3 min left, about 3 full trainings left" in shown(view)
    clock.now += 8.5 * 60
    assert "about 30 s left, about 0.053 full trainings left" in shown(view)
    view.close()
    view, _, clock = live(trials=40, minutes=None)
    view(started(space=replace(header().space, size=3)))
    assert "0 s used, about 3 full trainings left" in shown(view)
    clock.now += 60
    view(TrialFinished(trained(0, 0.9, 2.5)))
    assert "1 min used, about 2 min left, about 2 full trainings left" in shown(view)
    view.close()


def test_a_study_without_trials_or_budget_is_shown() -> None:
    view, _, _ = live(trials=None, minutes=None)
    view(started())
    assert "0 trained   0 rejected   0 failed   0 s used\n" in shown(view)
    assert "Front" not in shown(view)
    view.close()


def test_a_view_that_never_began_closes() -> None:
    view, to, _ = live()
    view.close()
    view.close()
    assert Screen(printed(to)).text == ""


def test_of_a_long_front_the_slowest_are_shown_and_the_rest_is_counted() -> None:
    """The fastest one shown was once called the fastest of all."""
    view, _, _ = live()
    view(started(*long_front(20)))
    text = shown(view, 160)
    assert f"Front so far (and {20 - SHOWN} faster ones)" in text
    rows = [line for line in text.splitlines() if re.match(r"│\s+\d", line)]
    assert [int(row.split("│")[1]) for row in rows] == list(range(20 - SHOWN, 20))
    assert "fastest" not in rows[0]
    assert "best" in rows[-1]
    view.close()


def test_more_trials_than_the_budget_fill_the_bar_and_no_more() -> None:
    view, _, clock = live(trials=2, minutes=1)
    view(started(*long_front(5)))
    clock.now += 600
    assert "5 of 2 trained" in shown(view)
    assert "of 1 min" in shown(view)
    view.close()


def test_the_time_used_has_one_decimal() -> None:
    """It had four digits, as 1.337 of 4 min."""
    view, _, clock = live(minutes=4)
    view(started(trained(0, 0.8, 3.0)))
    before = shown(view)
    clock.now += 80.2
    assert shown(view) != before
    assert re.search(r" \d+(\.\d)? of 4 min", shown(view))
    view.close()


def test_a_narrow_terminal_shows_what_it_can() -> None:
    view, to, _ = live(width=30)
    for event in (started(*long_front(20)), *SEQUENCE):
        view(event)
        view._live.refresh()
    view(StudyFinished("interrupted", "from the keyboard"))
    assert "Front so far" not in Screen(printed(to)).text
