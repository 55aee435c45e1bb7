from __future__ import annotations

import json
import math
import zlib
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from plotly.offline import get_plotlyjs

from archfront.search.front.members import build_front
from archfront.search.profile.dataset_profile import SplitProfile
from archfront.search.records.evaluation import Evaluation
from archfront.search.records.objectives import objectives_for
from archfront.search.report import page_figure
from archfront.search.report.details_figure import confusion_figure, curves_by_class
from archfront.search.report.figures import (
    curves_figure,
    front_figure,
    params_figure,
)
from archfront.search.report.front_png import write_png
from archfront.search.report.page_figure import plotly_code, to_div, to_html
from archfront.search.report.plot_data import (
    FrontPlot,
    axis_title,
    hover_text,
    log_ticks,
    series_line,
)
from archfront.search.report.profile_figure import profile_figures
from archfront.trainers.drawing.colors import class_color
from tests.support.recorded_study import (
    LIMITS,
    OBJECTIVES,
    candidate,
    failed,
    measurement,
    rejected,
    study,
    trained,
)
from tests.support.small_profile import small_profile


class Loads(HTMLParser):
    """Collects what a page would load or link."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [f"{tag} {k}={v}" for k, v in attrs if k in {"src", "href", "srcset"}]


def picture(evaluations: Sequence[Evaluation], **changes: object) -> FrontPlot:
    members = build_front(evaluations, OBJECTIVES)
    whole = FrontPlot("digits", evaluations, members, OBJECTIVES, LIMITS)
    return replace(whole, **changes)


def test_the_staircase_turns_only_at_members() -> None:
    three = [trained(0, 0.8, 1.0), trained(1, 0.9, 2.0), trained(2, 0.7, 1.5)]
    xs, ys = picture(three).stairs()
    bottom = picture(three).metric_range()[0]
    assert xs == [1.0, 1.0, 1.0, 2.0, 2.0, 4.0]
    assert ys == [bottom, bottom, 0.8, 0.8, 0.9, 0.9]


def test_the_staircase_ends_at_the_right_edge_where_there_is_no_limit() -> None:
    free = picture([trained(0, 0.8, 1.0), trained(1, 0.9, 2.0)], limits={})
    assert free.stairs()[0][-1] == free.cost_range()[1]


def test_the_staircase_of_a_maximized_cost_goes_to_the_left_edge() -> None:
    objectives = objectives_for("accuracy", ("throughput_ips",))
    evaluations = [
        replace(e, measurement=replace(measurement(1.0), throughput_ips=ips))
        for e, ips in ((trained(0, 0.8, 1.0), 900.0), (trained(1, 0.9, 1.0), 300.0))
    ]
    evaluations.append(trained(2, 0.7, 1.0))  # its throughput was not measured
    members = build_front(evaluations[:2], objectives)
    whole = FrontPlot("digits", evaluations[:2], members, objectives, {})
    xs, ys = whole.stairs()
    left = whole.cost_range()[0]
    assert xs == [900.0, 900.0, 900.0, 300.0, 300.0, left]
    assert ys[1:] == [ys[0], 0.8, 0.8, 0.9, 0.9]
    assert left < 300.0
    assert axis_title(objectives[1]) == "throughput (images/s, log scale)"
    assert "throughput 900 images/s" in hover_text(evaluations[0], "accuracy")


def test_what_was_stopped_without_a_known_cost_is_not_drawn() -> None:
    objectives = objectives_for("accuracy", ("memory_mb",))
    evaluations = [rejected(0, 9.0), rejected(1, 9.0)]
    known = replace(evaluations[1], measurement=replace(measurement(9.0), memory_mb=50.0))
    whole = FrontPlot("digits", [evaluations[0], known], [], objectives, {"memory_mb": 40.0})
    assert whole.stopped("rejected") == [known]
    low, high = whole.cost_range()
    assert low < 40.0 < 50.0 < high


def test_a_member_dominated_in_two_of_three_objectives_is_not_a_stair() -> None:
    objectives = objectives_for("accuracy", ("latency_ms", "params_m"))
    evaluations = [trained(0, 0.9, 1.0, params_m=5), trained(1, 0.8, 2.0, params_m=1)]
    members = build_front(evaluations, objectives)
    assert len(members) == 2
    both = FrontPlot("digits", evaluations, members, objectives, LIMITS)
    assert set(both.stairs()[0]) == {1.0, 4.0}


def test_all_members_and_their_intervals_are_inside_the_axes() -> None:
    whole = picture(study())
    low, high = whole.metric_range()
    left, right = whole.cost_range()
    for member in whole.members:
        assert low < member.metric_low <= member.metric_high < high
        assert left < member.latency_ms < right


def test_one_bad_trial_does_not_flatten_the_front_and_is_counted_as_hidden() -> None:
    good = [trained(0, 0.97, 1.0), trained(1, 0.99, 2.0)]
    flattened = picture([*good, trained(2, 0.1, 3.0)])
    assert flattened.metric_range()[0] > 0.9
    assert flattened.hidden() == 1
    names = [trace.name for trace in front_figure(flattened).data]
    assert "dominated (1 below the picture)" in names


@pytest.mark.parametrize(
    ("ends", "ticks"),
    [
        ((0.09, 12), [0.1, 0.2, 0.5, 1, 2, 5, 10]),
        ((0.5, 20_000), [1, 10, 100, 1000, 10_000]),
        ((2.1, 4.5), [2.5, 3, 3.5, 4, 4.5]),
        ((1.0, 3.0), [1, 1.5, 2, 3]),
    ],
)
def test_ticks_are_round_values_inside_the_axis(
    ends: tuple[float, float], ticks: list[float]
) -> None:
    assert log_ticks(*ends) == ticks


def test_an_axis_says_its_unit_and_its_scale() -> None:
    assert axis_title(OBJECTIVES[1]) == "latency p50 (ms, log scale)"
    assert axis_title(objectives_for("macro_f1")[0]) == "macro f1"


def test_hovering_tells_the_candidate_and_escapes_it() -> None:
    text = hover_text(trained(3, 0.9, 2.0, of=candidate("<b>x")), "accuracy")
    assert "<b>trial 3: &lt;b&gt;x@32 avg</b>" in text
    assert "lr 0.003" in text
    assert "accuracy 0.9000 [0.8900, 0.9080]" in text
    assert "p50 2 ms, p95 2.2 ms" in text
    assert "1 M parameters" in text
    assert "latency_ms 9 is over 4 by 125%" in hover_text(rejected(1, 9.0), "accuracy")
    assert "failed: diverged: the loss is nan" in hover_text(failed(1), "accuracy")


def test_every_trial_with_a_known_cost_is_drawn_once() -> None:
    whole = picture(study())
    traces = {trace.name: trace for trace in front_figure(whole).data}
    n_members = len(whole.members)
    assert len(traces["member, 95% interval"].x) == n_members
    assert len(traces["dominated"].x) == 16 - n_members
    assert len(traces["knee"].x) == 1
    assert len(traces["rejected"].x) == 6
    assert len(traces["failed"].x) == 1  # the other failed before it was measured


def test_interval_bars_end_at_the_interval() -> None:
    whole = picture(study())
    bars = next(t for t in front_figure(whole).data if t.name == "member, 95% interval")
    lows = np.array(bars.y) - np.array(bars.error_y.arrayminus)
    highs = np.array(bars.y) + np.array(bars.error_y.array)
    assert lows == pytest.approx([m.metric_low for m in whole.members])
    assert highs == pytest.approx([m.metric_high for m in whole.members])


def test_the_limit_is_drawn_and_the_axis_is_logarithmic() -> None:
    layout = front_figure(picture(study())).layout
    assert layout.xaxis.type == "log"
    assert [shape.x0 for shape in layout.shapes] == [4.0]
    assert any(note.text == "limit 4 ms" for note in layout.annotations)
    assert not front_figure(picture(study(), limits={})).layout.shapes


def test_fastest_knee_and_best_are_named_in_the_picture() -> None:
    whole = picture(study())
    notes = [note for note in front_figure(whole).layout.annotations if note.name == "word"]
    assert [note.text.split("</b>")[0] for note in notes] == ["<b>fastest", "<b>knee", "<b>best"]
    assert picture([trained(0, 0.9, 1.0)]).named() == {0: "fastest, knee, best"}


def test_learning_curves_are_the_recorded_ones() -> None:
    whole = picture(study())
    figure = curves_figure(whole)
    for trace, evaluation in zip(figure.data, whole.of_members(), strict=True):
        assert list(trace.x) == [row["epoch"] for row in evaluation.outcome.curve]
        assert list(trace.y) == [row["metrics"]["accuracy"] for row in evaluation.outcome.curve]


def test_metric_against_parameters_shows_every_trained_candidate() -> None:
    assert sum(len(trace.x) for trace in params_figure(picture(study())).data) == 16


def test_the_page_of_the_figure_loads_nothing() -> None:
    page = to_html(front_figure(picture(study())))
    loads = Loads()
    loads.feed(page)
    assert loads.found == []
    assert plotly_code() in page


def test_plotlys_code_is_packed_into_the_page() -> None:
    """Each report and each page of a front once took 4.8 MB."""
    code = plotly_code()
    assert len(code) < 2_100_000
    packed = code.partition('id="plotly-code">')[2].partition("<")[0]
    assert zlib.decompress(b64decode(packed)).decode() == get_plotlyjs()
    assert code.count("</script>") == 2


def test_figures_of_a_page_are_whole() -> None:
    figure = front_figure(picture(study()))
    content = to_div(figure, "one").partition('data-figure="one">')[2].partition("</script>")[0]
    assert json.loads(content) == json.loads(figure.to_json())


def test_lines_of_many_classes_differ() -> None:
    """Colors repeated after eight classes."""
    lines = [tuple(series_line(index).items()) for index in range(48)]
    assert len(set(lines)) == 48
    curves = {f"class {i}": [1.0, 0.5] for i in range(30)}
    drawn = curves_by_class({"class_names": list(curves), "curves": curves}).data
    assert len({(trace.line.color, trace.line.dash) for trace in drawn}) == 30


def test_the_curve_of_a_class_has_the_color_that_its_objects_have_in_pictures() -> None:
    """The curve of one class had the color of another one's boxes below it."""
    told = {"class_names": ["red", "none", "white"], "curves": {"red": [1, 0], "white": [1, 0]}}
    drawn = {trace.name: trace.line.color for trace in curves_by_class(told).data}
    assert drawn == {"red": f"rgb{class_color(0)}", "white": f"rgb{class_color(2)}"}


def test_every_class_of_a_confusion_matrix_is_named_beside_it() -> None:
    """Every other name was left out, and long ones were cut at the page's edge."""
    names = [f"a class of a long name, number {i}" for i in range(30)]
    cells = np.eye(30, dtype=int).tolist()
    figure = confusion_figure({"class_names": names, "confusion": cells})
    for axis in (figure.layout.xaxis, figure.layout.yaxis):
        assert list(axis.tickvals) == names
        assert axis.ticktext[3] == "a class of… number 3"
        assert axis.automargin
    many = [str(i) for i in range(100)]
    figure = confusion_figure({"class_names": many, "confusion": np.eye(100).tolist()})
    assert list(figure.layout.xaxis.tickvals) == many[::2]


def test_names_of_classes_are_shown_as_they_are_written() -> None:
    """Beside the axes stood &quot; for a quote, and the tags of a name were obeyed."""
    names = ['the "cat"', "<b>dog's</b> & co"]
    shown = ['the "cat"', "&lt;b&gt;dog's&lt;/b&gt; &amp; co"]
    figure = confusion_figure({"class_names": names, "confusion": [[1, 3], [0, 2]]})
    for axis in (figure.layout.xaxis, figure.layout.yaxis):
        assert list(axis.tickvals) == shown
        assert list(axis.ticktext) == shown
    assert list(figure.data[0].x) == list(figure.data[0].y) == shown
    every = [*names, "c" * 90]
    told = {"class_names": every, "curves": {name: [1.0, 0.5] for name in every}}
    curves = curves_by_class(told)
    assert [trace.name for trace in curves.data[:2]] == shown
    assert len(curves.data[2].name) == 20
    counts = SplitProfile(3, 0, *[dict.fromkeys(names, 1)] * 2)
    profile = replace(small_profile(), class_names=tuple(names), splits={"train": counts})
    [(_, draw)] = profile_figures(profile)["classes"]
    assert sorted(draw().layout.xaxis.ticktext) == sorted(shown)


def test_the_script_of_a_page_fits_what_the_confusion_matrix_has_beside_it() -> None:
    """In 390 px its names lay over each other: sizes and numbers were those of a wide page."""
    script = (Path(page_figure.__file__).parent / page_figure.SCRIPT).read_text("utf-8")
    figure = confusion_figure({"class_names": ["cat", "dog"], "confusion": [[1, 3], [0, 2]]})
    assert (figure.layout.coloraxis.cmin, figure.layout.coloraxis.cmax) == (0, 1)
    for axis in (figure.layout.xaxis, figure.layout.yaxis):
        assert axis.type == "category"  # by which the script finds them
        assert axis.tickfont.size is None
    for name in ("tickfont.size", "tickvals", "ticktext", "coloraxis.showscale"):
        assert name in script


def test_a_title_cannot_end_the_script_it_stands_in() -> None:
    figure = front_figure(picture(study(), title="</script><b>x"))
    assert to_div(figure, "one").count("</script>") == 1
    assert "<title>&lt;/script&gt;x</title>" in to_html(
        front_figure(picture(study(), title="</script>x"))
    )
    assert to_html(front_figure(picture(study(), title="</script>"))).count(
        "</script>"
    ) == to_html(front_figure(picture(study()))).count("</script>")


@pytest.mark.parametrize(
    "evaluations",
    [
        study(),
        [],
        [trained(0, 1.0, 1.0)],
        [rejected(0, 9.0)],
        [failed(0, p50_ms=None)],
        [trained(0, 0.9, 1.0), trained(1, 0.9, 1.0)],
    ],
    ids=["study", "empty", "one", "rejected", "failed", "equal"],
)
def test_any_state_of_a_study_can_be_drawn(evaluations: list[Evaluation], tmp_path: Path) -> None:
    whole = picture(evaluations)
    write_png(whole, tmp_path / "front.png")
    with Image.open(tmp_path / "front.png") as image:
        assert image.size == (1000, 650)
        assert len(np.unique(np.asarray(image.convert("L")))) > 10
    for draw in (front_figure, curves_figure, params_figure):
        assert 'data-figure="one"' in to_div(draw(whole), "one")


def test_the_same_study_gives_the_same_picture(tmp_path: Path) -> None:
    write_png(picture(study()), tmp_path / "one.png")
    write_png(picture(study()), tmp_path / "two.png")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    pages = [to_html(front_figure(picture(study()))) for _ in range(2)]
    assert pages[0] == pages[1]


def test_a_metric_of_all_equal_values_still_has_an_axis() -> None:
    low, high = picture([trained(0, 1.0, 1.0)]).metric_range()
    assert low < high
    assert math.isfinite(low)
