from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from archfront.search.front.members import build_front, front_hypervolume, pairwise
from archfront.search.latency.tiled import of_image
from archfront.search.records.applied_rule import AppliedRule
from archfront.search.records.evaluation import Evaluation, Rejected
from archfront.search.records.header import Environment
from archfront.search.records.image_tiles import ImageTiles
from archfront.search.records.objectives import objectives_for
from archfront.search.report.document import StudyRecord, render
from archfront.search.results.stats import class_rows, failures, rejections, tie_sentence
from archfront.trainers.dataset_summary import (
    DatasetSummary,
    SkippedExample,
    SkippedSummary,
    SplitSummary,
)
from tests.support.recorded_study import (
    OBJECTIVES,
    candidate,
    failed,
    record,
    rejected,
    study,
    trained,
)

EVIL = "<script>alert(1)</script>"
VOID = {"meta", "br", "wbr", "link", "img", "input", "hr", "path"}


class Page(HTMLParser):
    """The parts of a page that the tests ask for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.sections: list[str] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.text: list[str] = []
        self.scripts = 0
        self.open: list[str] = []
        self._table = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.loads += [f"{k}={v}" for k, v in attrs if k in {"src", "href", "srcset", "data"}]
        self.scripts += tag == "script"
        if tag not in VOID:
            self.open.append(tag)
        if tag == "section":
            self.sections.append(values["id"] or "")
        if tag == "table":
            self._table = values.get("id") or f"table {len(self.tables)}"
            self.tables[self._table] = []
        if tag == "tr":
            self.tables[self._table].append([])
        if tag in {"td", "th"}:
            self.tables[self._table][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "script" in self.open or "style" in self.open:
            return
        self.text.append(data)
        if "td" in self.open or "th" in self.open:
            self.tables[self._table][-1][-1] += " ".join(data.split()) + " "

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())

    def rows(self, table: str) -> list[list[str]]:
        return [[" ".join(cell.split()) for cell in row] for row in self.tables[table][1:]]


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(render(record()))


def test_the_report_loads_nothing_from_anywhere(page: Page) -> None:
    assert page.loads == []
    text = render(record())
    styles = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in styles
    assert "@import" not in styles


def test_every_tag_that_opens_closes(page: Page) -> None:
    assert page.open == []


def test_the_sections_come_in_the_order_a_reader_asks(page: Page) -> None:
    assert page.sections == [
        "question",
        "answer",
        "pictures",
        "rejected",
        "failed",
        "dataset",
        "cost",
        "hypervolume",
        "reproduce",
    ]


def test_data_of_one_class_is_not_said_to_have_classes() -> None:
    dataset = replace(record().dataset, class_names=("nucleus",))
    assert "146 val images of 1 class), with" in render(record(dataset=dataset))


@pytest.mark.parametrize("task", ["semantic", "instance"])
def test_a_task_has_its_whole_name_in_the_question(task: str) -> None:
    assert f"Which {task} segmentation models give" in render(record(task=task))


def test_the_question_names_task_device_data_and_limits(page: Page) -> None:
    assert (
        "Which classification models give the highest accuracy for their latency p50 on "
        "Some CPU, 2 cores (onnxruntime, 1 thread, batch 1, fp32), trained on digits (146 train "
        "and 146 val images of 3 classes), with latency p50 at most 4 ms?"
    ) in page.words
    assert "1,234 candidates; 16 were trained, 6 rejected before training, and 2 failed." in (
        page.words
    )


def test_the_question_says_of_how_many_tiles_a_latency_is() -> None:
    whole = record()
    cut = [
        replace(e, measurement=of_image(e.measurement, ImageTiles(12, 1.5)))
        if e.measurement is not None
        else e
        for e in whole.evaluations
    ]
    said = Page(render(replace(whole, evaluations=cut))).words
    assert (
        "(onnxruntime, 1 thread, batch 1, fp32; a latency is that of the 12 tiles of an image and "
        "1.5 ms of merging), trained on digits"
    ) in said


def test_the_front_table_has_the_members_with_intervals_and_marks(page: Page) -> None:
    members = record().members
    rows = page.rows("front")
    assert [int(row[0]) for row in rows] == [member.trial for member in members]
    for row, member in zip(rows, members, strict=True):
        name = f"{member.candidate.label} {member.candidate.id}"
        assert row[1].startswith(name)
        assert row[2] == (
            f"{member.metric:.4f} {member.metric_low:.4f} to {member.metric_high:.4f}"
        )
        assert ("knee" in row[1].removeprefix(name)) == member.is_knee
    assert (rows[0][1].split()[-1], rows[-1][1].split()[-1]) == ("fastest", "best")


def test_test_scores_get_a_column_where_there_are_any() -> None:
    trial = record().members[0].trial
    page = Page(render(record(test_scores={trial: {"accuracy": 0.4321}})))
    assert "accuracy test split" in [" ".join(cell.split()) for cell in page.tables["front"][0]]
    rows = page.rows("front")
    assert [row[3] for row in rows] == ["0.4321"] + [""] * (len(rows) - 1)
    assert "The search never saw the test split." in page.words


def test_galleries_are_embedded_the_best_member_first() -> None:
    trials = [member.trial for member in record().members]
    galleries = {trials[0]: b"first", trials[-1]: b"last"}
    page = Page(render(record(galleries=galleries)))
    assert page.loads == [
        f"src=data:image/png;base64,{b64encode(content).decode()}"
        for content in (b"last", b"first")
    ]
    assert page.sections[3] == "galleries"
    assert f"Trial {trials[0]}, {record().members[0].candidate.label}: accuracy" in page.words


def test_rejections_are_counted_by_limit_with_their_excess(page: Page) -> None:
    over = [e.outcome.exceeded["latency_ms"][0] for e in study() if e.kind == "rejected"]
    least, most = f"{min(over) / 4 - 1:.0%}", f"{max(over) / 4 - 1:.0%}"
    (row,) = page.rows("limits")
    assert row[:3] == ["latency p50, ms", "4", "6"]
    assert (row[4], row[6]) == (least, most)
    assert len(page.rows("rejections")) == 6


def test_a_candidate_over_two_limits_counts_in_both() -> None:
    both = rejected(0, 8.0)
    outcome = Rejected({"latency_ms": (8.0, 4.0), "params_m": (3.0, 2.0)})
    rows = rejections([both, rejected(1, 5.0), _with(both, outcome), trained(2, 0.9, 1.0)])
    assert [(row.limit, row.count) for row in rows] == [("latency_ms", 3), ("params_m", 1)]
    assert (rows[0].least, rows[0].middle, rows[0].most) == (0.25, 1.0, 1.0)


def _with(evaluation, outcome):
    return type(evaluation)(**{**vars(evaluation), "outcome": outcome})


def test_failures_are_grouped_by_kind_with_their_reasons(page: Page) -> None:
    assert "diverged: 2" in page.words
    assert "the loss is nan" in page.words
    assert [len(group) for group in failures(study()).values()] == [2]


def test_the_dataset_is_told_with_its_classes_and_what_was_left_out(page: Page) -> None:
    rows = page.rows("classes")
    assert [(row[0], *row[2:]) for row in rows] == [
        ("zero", "60", "60"),
        ("one", "55", "55"),
        ("two", "31", "31"),
    ]
    assert "Left out, broken image: 7" in page.words
    assert "a/b.png: it ends too soon and 6 more" in page.words
    assert class_rows(DatasetSummary()) == []


def test_the_cost_adds_up(page: Page) -> None:
    assert "training 3 min 12 s 77%" in page.words
    assert "measuring 48 s 19%" in page.words
    assert "in all 4 min 10 s" in page.words


def test_the_nodes_of_a_cluster_are_told_with_their_work(page: Page) -> None:
    assert "nodes" not in page.tables
    one, other = trained(0, 0.9, 1.0), trained(1, 0.8, 1.0)
    evaluations = [
        replace(one, trained_on="tower", measured_on=EVIL),
        replace(other, trained_on="tower", measured_on=EVIL, started=one.started + 14),
    ]
    members = build_front(evaluations, OBJECTIVES)
    told = Page(render(record(evaluations=evaluations, members=members)))
    assert told.rows("nodes") == [
        [EVIL, "0", "", "2", "3 s", "0.11"],
        ["tower", "2", "24 s", "0", "", "0.86"],
    ]
    assert "were in flight for 28 s in all, of which they waited 1 s (4%)" in told.words


def test_the_hypervolume_is_told_with_its_reference(page: Page) -> None:
    whole = record()
    volume = front_hypervolume(whole.evaluations, whole.objectives, whole.reference)
    assert f"{volume:.4f}, measured from accuracy 0.1 and latency p50 4 ms" in page.words


def test_command_versions_and_configuration_are_there(page: Page) -> None:
    assert "archfront run experiment=digits" in page.words
    assert "torch 2.15.0" in page.words
    assert '"metric": "accuracy"' in page.words


def test_nothing_that_a_user_names_can_break_the_page() -> None:
    of = candidate(EVIL, EVIL)
    several = [trained(0, 0.9, 1.0, of=of), trained(3, 0.8, 2.0, of=of, params_m=2.0)]
    evaluations = [*several, rejected(1, 9.0, of=of), failed(2, EVIL, of=of)]
    dataset = DatasetSummary(
        class_names=(EVIL,),
        channels=3,
        splits={"train": SplitSummary(1, {EVIL: 1})},
        skipped={EVIL: SkippedSummary(1, (SkippedExample(EVIL, EVIL),))},
    )
    evil = Page(
        render(
            record(
                name=EVIL,
                state=EVIL,
                device=EVIL,
                data=EVIL,
                command=EVIL,
                dataset=dataset,
                evaluations=evaluations,
                members=build_front(evaluations, OBJECTIVES),
                environment=Environment({EVIL: EVIL}, EVIL),
                config={EVIL: EVIL},
                rules=[AppliedRule("balance", EVIL, f"{EVIL},{EVIL}", "Menon et al. 2021")],
            )
        )
    )
    assert evil.scripts == Page(render(record())).scripts
    assert evil.open == []
    assert evil.rows("classes")[0][0] == EVIL
    assert evil.rows("rules") == [["balance", EVIL, f"{EVIL}, {EVIL}", "Menon et al. 2021"]]
    assert len(evil.rows("front")) == 1


@pytest.mark.parametrize(
    "empty",
    [
        record(evaluations=[], members=[], reference=None, finished=None, seconds={}),
        record(
            evaluations=[],
            members=[],
            dataset=DatasetSummary(),
            limits={},
            environment=Environment({}, ""),
            config={},
        ),
        record(evaluations=[rejected(0, 9.0), failed(1, p50_ms=None)], members=[]),
    ],
    ids=["new", "bare", "nothing trained"],
)
def test_a_study_without_a_front_still_has_a_report(empty: StudyRecord) -> None:
    page = Page(render(empty))
    assert "No candidate has been trained yet, so there is no front." in page.words
    assert page.sections[:2] == ["question", "answer"]
    assert {"pictures", "rungs", "hypervolume"}.isdisjoint(page.sections)
    assert ("cost" in page.sections) is any(empty.seconds.values())


def test_pictures_of_a_single_point_are_left_out() -> None:
    """A study of a probe alone once showed a dot each in axes that reached twice the metric."""

    def words(*evaluations: Evaluation) -> str:
        return Page(
            render(record(evaluations=evaluations, members=build_front(evaluations, OBJECTIVES)))
        ).words

    whole = trained(0, 0.9, 2.0)
    probe = replace(whole, outcome=replace(whole.outcome, curve=whole.outcome.curve[:1]))
    alone = words(probe)
    assert "Learning curves of the front" not in alone
    assert "Does size pay?" not in alone
    assert "Learning curves of the front" in words(whole)
    assert "Does size pay?" in words(probe, trained(1, 0.8, 3.0, params_m=2.0))


def test_a_third_objective_is_part_of_the_question_and_the_reference() -> None:
    objectives = objectives_for("accuracy", ("latency_ms", "params_m"))
    reference = type(record().reference)({"accuracy": 0.1, "latency_ms": 4.0, "params_m": 20.0})
    members = build_front(study(), objectives)
    page = Page(render(record(objectives=objectives, reference=reference, members=members)))
    assert "for their latency p50 and parameters on" in page.words
    assert "and parameters 20 million" in page.words


def test_ties_are_said_in_words() -> None:
    evaluations = [trained(0, 0.8, 1.0), trained(1, 0.9, 1.5), trained(2, 0.91, 2.0)]

    def said(*pairs: tuple[int, int]) -> str:
        members = build_front(
            evaluations, OBJECTIVES, ties=pairwise(lambda a, b: (a.trial, b.trial) in pairs)
        )
        return tie_sentence(members, "balanced_accuracy")

    assert said() == (
        "No other member is a statistical tie with the best one (trial 2): its balanced accuracy "
        "is higher by more than chance explains."
    )
    assert said((1, 2)) == (
        "On these validation images the balanced accuracy of the best (trial 2) cannot be told "
        "apart from that of trial 1: a statistical tie. Trial 1 takes 1.5 ms, 25% less."
    )
    assert said((0, 2), (1, 2)).endswith(
        "of trials 0 and 1: a statistical tie. The fastest of them, trial 0, takes 1 ms, 50% less."
    )
    assert tie_sentence(build_front(evaluations[:1], OBJECTIVES), "accuracy") == ""


def test_a_latency_with_trained_weights_is_shown_beside_that_of_drawn_ones() -> None:
    trial = record().members[0].trial
    page = render(record(test_scores={trial: {"trained_latency_ms": 1.2345}}))
    assert page.count("once trained") == 1
    assert "1.23 once trained" in page
    assert "once trained" not in render(record())


def test_the_marks_of_a_member_take_no_column_of_their_own() -> None:
    """A front with test scores and marks was cut at 1,280 px."""
    members = [replace(member, is_stable=False) for member in record().members]
    page = Page(render(record(members=members)))
    assert all("unstable latency" in row[1] for row in page.rows("front"))
    assert [len(row) for row in page.tables["front"]] == [8] * (len(members) + 1)


def test_the_score_of_nearest_neighbors_is_shown_where_a_member_has_one() -> None:
    first, *others = record().members
    page = Page(render(record(members=[replace(first, knn=0.75), *others])))
    rows = page.tables["recipes"]
    assert rows[0][-1].strip() == "nearest neighbors"
    assert [row[-1].strip() for row in rows[1:]] == ["0.7500", *[""] * len(others)]
    assert "nearest neighbors" not in render(record())
