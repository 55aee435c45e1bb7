"""The report of a study: one HTML page that carries everything it shows."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from markupsafe import Markup

from archfront.search.front.members import FrontMember, front_hypervolume
from archfront.search.profile.dataset_profile import DatasetProfile
from archfront.search.records.applied_rule import AppliedRule
from archfront.search.records.evaluation import SOMETIMES, Evaluation, is_below_top
from archfront.search.records.export_records import ExportSummary
from archfront.search.records.header import Environment
from archfront.search.records.objectives import Objective, Reference
from archfront.search.records.refit_records import RefitSummary
from archfront.search.records.variant_records import VariantSummary
from archfront.search.report import details_figure, figures, page_figure, refit_text
from archfront.search.report.page_template import axis_name, page_template, unit
from archfront.search.report.plot_data import NAMES, FrontPlot
from archfront.search.report.profile_text import short_lines
from archfront.search.results import rung_stats, stats
from archfront.search.results.baselines import baseline_line
from archfront.search.results.node_work import node_work, waiting_sentence
from archfront.search.results.select_members import best_member
from archfront.trainers.dataset_summary import DatasetSummary
from archfront.trainers.words import join_words

TEMPLATE = "report.html.j2"


@dataclass(frozen=True)
class StudyRecord:
    """Everything that the report of a study says.

    Attributes:
        name: Name of the study.
        state: Where it stands, in words: ``finished: 16 trials trained``, ``running``.
        task: Key of the task.
        device: The device in words.
        objectives: The metric first.
        limits: Allowed values; None for no limit.
        reference: The stored reference point; None before it is known.
        evaluations: Every evaluation so far.
        members: The front, fastest first.
        data: What to call the dataset.
        dataset: What is known of its data.
        environment: Versions and the device's fingerprint.
        config: The composed configuration.
        command: What runs the study again.
        space_size: Candidates in the space.
        started: Seconds since the epoch.
        finished: The same of the last record; None while it runs.
        seconds: Wall seconds by what they were spent on: training, measuring, idle.
        test_scores: Metrics on the test split by trial, of members that have them.
        galleries: Pictures of validation predictions by trial, PNG, of members that have one.
        rungs: Epochs at which candidates compete, the last those of a full training.
        refit: What full trainings gave; None before the first one.
        variants: What members are worth as they may be deployed; None before the first one.
        exports: What the exported artifacts are worth; None before the first one.
        waiting: Trials that have not ended.
        baselines: Metric of what needs no image, by its name, the best first.
        details: ``ClassDetails`` of the best member; None where they were not written.
        mistakes: Picture of the images that it is most wrong about, PNG.
        profile: The profile of the data; None where it is not known.
        unread: Sentences on the parts that are left out, since their files cannot be read.
        rules: The rules that had something to say of the data.
    """

    name: str
    state: str
    task: str
    device: str
    objectives: Sequence[Objective]
    limits: Mapping[str, float | None]
    reference: Reference | None
    evaluations: Sequence[Evaluation]
    members: Sequence[FrontMember]
    data: str
    dataset: DatasetSummary
    environment: Environment
    config: Mapping[str, Any]
    command: str
    space_size: int
    started: float
    finished: float | None
    seconds: Mapping[str, float]
    test_scores: Mapping[int, Mapping[str, float]]
    galleries: Mapping[int, bytes] = field(default_factory=dict)
    rungs: Sequence[int] = (1,)
    refit: RefitSummary | None = None
    variants: VariantSummary | None = None
    exports: ExportSummary | None = None
    waiting: frozenset[int] = frozenset()
    baselines: Mapping[str, float] = field(default_factory=dict)
    details: Mapping[str, Any] | None = None
    mistakes: bytes | None = None
    profile: DatasetProfile | None = None
    unread: Sequence[str] = ()
    rules: Sequence[AppliedRule] = ()

    @property
    def metric(self) -> str:
        """Return the name of the metric that the study maximizes."""
        return self.objectives[0].name

    @property
    def picture(self) -> FrontPlot:
        """Return what the pictures show."""
        title = f"{self.name}: {self.metric.replace('_', ' ')} against latency"
        return FrontPlot(
            title, self.evaluations, self.members, self.objectives, self.limits, self.baselines
        )


def render(record: StudyRecord) -> str:
    """Return the report as one HTML page that loads nothing from anywhere."""
    return page_template(TEMPLATE).render(
        record=record,
        **_limits_and_latency(record),
        **_answer(record),
        **_costs(record),
        **_rungs(record),
        failures=stats.failures(record.evaluations),
        rejections=stats.rejections(record.evaluations),
        rejected=[e for e in record.evaluations if e.kind == "rejected"],
        facts=stats.dataset_facts(record.dataset),
        classes=stats.class_rows(record.dataset),
        profile_lines=[] if record.profile is None else short_lines(record.profile),
        config=json.dumps(record.config, indent=2, default=str, ensure_ascii=False),
        figures=_figures(record),
        galleries=_galleries(record),
        **_details(record),
        **_refit(record),
        # With the figures the only text that is not escaped here.
        plotly=Markup(page_figure.plotly_code()) if record.members else "",
    )


def _refit(record: StudyRecord) -> dict[str, Any]:
    """Return what the full trainings say, in words."""
    if record.refit is None:
        return {"refitted": [], "refit_sentences": []}
    return {
        "refitted": [(member, refit_text.remarks(member)) for member in record.refit.members],
        "refit_sentences": refit_text.sentences(record.refit),
    }


def _limits_and_latency(record: StudyRecord) -> dict[str, Any]:
    measured = [e.measurement for e in record.evaluations if e.measurement is not None]
    return {
        "latency": measured[0].latency if measured else None,
        "limits": [
            f"{NAMES.get(name, name)} at most {limit:g} {unit(name)}"
            for name, limit in record.limits.items()
            if limit is not None
        ],
    }


def _answer(record: StudyRecord) -> dict[str, Any]:
    return {
        "named": record.picture.named(),
        "provisional": stats.provisional_sentence(record.members),
        "tie": stats.tie_sentence(record.members, record.metric),
        "baseline": baseline_line(record.baselines, record.metric),
        "sometimes": [
            name
            for name in SOMETIMES
            if any(getattr(member, name) is not None for member in record.members)
        ],
        "recipes": {m.trial: asdict(m.candidate.recipe) for m in record.members},
    }


def _costs(record: StudyRecord) -> dict[str, Any]:
    volume = None
    if record.reference is not None and record.members:
        volume = front_hypervolume(record.evaluations, record.objectives, record.reference)
    return {
        "n_trained": stats.counts(record.evaluations, record.waiting)["trained"],
        "hypervolume": volume,
        "spent": sum(record.seconds.values()),
        "nodes": node_work(record.evaluations),
        "waited": waiting_sentence(record.evaluations),
    }


def _rungs(record: StudyRecord) -> dict[str, Any]:
    """Return what the rungs say of each other and what they saved, where there is any of it."""
    if len(record.rungs) < 2:
        return {"agreements": [], "saved": None, "below": "", "competed": ""}
    trained = [e for e in record.evaluations if e.kind == "trained"]
    saved = rung_stats.saved(trained, record.rungs)
    is_told = saved.n_trials > 0 and any(e.is_top for e in trained)
    return {
        "agreements": [
            row for row in rung_stats.agreements(record.evaluations) if row.tau is not None
        ],
        "saved": saved if is_told else None,
        "below": _below(stats.counts(record.evaluations, record.waiting)),
        "competed": _competed(record.rungs, trained),
    }


def _competed(rungs: Sequence[int], trained: Sequence[Evaluation]) -> str:
    """Return after which epochs candidates competed, and which of the networks are on a front."""
    epochs = join_words([str(epochs) for epochs in rungs if epochs])
    start = "with a head solved on frozen features, then " if rungs[0] == 0 else ""
    below = [e for e in trained if is_below_top(e)]
    if below and not any(e.can_join_front for e in below):
        end = f"Only what was trained for {rungs[-1]} is on the front."
    else:
        end = "A network of any of them may be on the front, and says how far it was trained."
    return f"Candidates competed {start}after {epochs} epochs. {end}"


def _below(counts: Mapping[str, int]) -> str:
    """Return how many trials stopped or wait below the top, in words."""
    n_waiting = counts.get("waiting", 0)
    words = [f"{counts.get('stopped', 0)} stopped at a rung below the top"]
    words += [f"{n_waiting} wait{'s' if n_waiting == 1 else ''} at one"] if n_waiting else []
    return ", ".join(words)


def _galleries(record: StudyRecord) -> list[tuple[FrontMember, str]]:
    """Return the members that have a picture, the best first, with its data URI."""
    best_first = sorted(record.members, key=lambda member: -member.metric)
    return [
        (member, f"data:image/png;base64,{b64encode(record.galleries[member.trial]).decode()}")
        for member in best_first
        if member.trial in record.galleries
    ]


def _figures(record: StudyRecord) -> list[tuple[str, Markup]]:
    if not record.members:
        return []
    picture = record.picture
    drawn = (
        ("Front", lambda: figures.front_figure(picture)),
        *_compared(picture),
        *_expected(record),
        *_proposed(record),
    )
    return [(title, _drawn(draw, f"figure-{i}")) for i, (title, draw) in enumerate(drawn)]


def _compared(picture: FrontPlot) -> list[tuple[str, Callable[[], Any]]]:
    """Return the pictures that compare epochs and sizes, where there are two to compare."""
    found: list[tuple[str, Callable[[], Any]]] = []
    if any(len(curve) > 1 for curve in picture.curves()):
        found.append(("Learning curves of the front", lambda: figures.curves_figure(picture)))
    if len({e.measurement.params_m for e in picture.trained() if e.measurement}) > 1:
        found.append(("Does size pay?", lambda: figures.params_figure(picture)))
    return found


def _drawn(draw: Callable[[], Any], name: str) -> Markup:
    """Return a figure as HTML, or in words why it cannot be drawn: the page goes on."""
    try:
        return Markup(page_figure.to_div(draw(), name))
    except Exception as error:  # plotly raises whatever it likes
        reason = (str(error).splitlines() or [""])[0]
        return Markup("<p>Not drawn: {}: {}</p>").format(type(error).__name__, reason)


def _details(record: StudyRecord) -> dict[str, Any]:
    """Return the table and the pictures of the best member by class, and its worst images."""
    details, worst = record.details, record.mistakes
    found: dict[str, Any] = {"class_columns": [], "class_values": [], "class_figures": []}
    if details is not None:
        columns = list(details["metrics"])
        values = zip(*details["metrics"].values(), strict=True)
        rows = list(zip(details["class_names"], values, strict=True))
        drawn = []
        if details["confusion"]:
            drawn += [("Confusion matrix", lambda: details_figure.confusion_figure(details))]
        if details["curves"]:
            drawn += [
                ("Precision by recall, IoU 0.5", lambda: details_figure.curves_by_class(details))
            ]
        pictures = [(title, _drawn(draw, f"classes-{i}")) for i, (title, draw) in enumerate(drawn)]
        found = {"class_columns": columns, "class_values": rows, "class_figures": pictures}
    best = best_member(record.members)
    source = "" if worst is None else f"data:image/png;base64,{b64encode(worst).decode()}"
    return {**found, "mistakes": source, "best": best}


def _expected(record: StudyRecord) -> list[tuple[str, Callable[[], Any]]]:
    """Return the picture of predicted against measured latencies, if any were predicted."""
    pairs = stats.expected_pairs(record.evaluations)
    if not pairs:
        return []
    errors = [abs(p.p50_ms / m.latency.p50_ms - 1) for p, m in pairs]
    n_within = sum(p.low_ms <= m.latency.p50_ms <= p.high_ms for p, m in pairs)
    title = (
        f"Latency predicted before it was measured: median error {median(errors):.0%}, "
        f"{n_within} of {len(pairs)} within the band of nine in ten"
    )
    return [(title, lambda: figures.expected_figure(pairs))]


def _proposed(record: StudyRecord) -> list[tuple[str, Callable[[], Any]]]:
    """Return the picture of predicted against found metrics, if the sampler predicted any."""
    pairs = stats.proposal_pairs(record.evaluations)
    if not pairs:
        return []
    n_within = sum((p.metric_low or 0) <= found <= (p.metric_high or 0) for p, found in pairs)
    name = axis_name(record.metric)
    title = (
        f"{name[:1].upper()}{name[1:]} predicted before the training: "
        f"{n_within} of {len(pairs)} within the band of nine in ten"
    )
    return [(title, lambda: figures.proposals_figure(record.metric, pairs))]
