"""Why a backbone was not tried in a study, or what became of it."""

from __future__ import annotations

from collections.abc import Sequence

from archfront.search.catalog import catalog, near
from archfront.search.config.build import build, completed
from archfront.search.config.schema import SpaceConfig
from archfront.search.errors import ConfigError
from archfront.search.prepare.select_backbones import left_out_by
from archfront.search.records.header import StudyHeader
from archfront.search.service.answers import TrialRow, Why, WhyAnswer
from archfront.search.service.read_study import ReadStudy
from archfront.search.service.trial_answers import table_of
from archfront.trainers.networks.hf.names import is_hub
from archfront.trainers.words import count_of, quoted

# Trials that a text names.
N_NAMED = 5


def why_answer(study: ReadStudy, backbone: str) -> WhyAnswer:
    """Return what became of a backbone, or why nothing did.

    Args:
        study: The records of the study.
        backbone: timm's name, with or without a tag, or a name of transformers after ``hf:``.

    Raises:
        StudyError: If nothing is recorded yet.
    """
    header = study.results.begun()
    name = backbone if is_hub(backbone) else backbone.partition(".")[0]
    rows = [row for row in table_of(study).rows if row.backbone == name]
    if rows:
        why, text = _of_trials(name, rows)
        return WhyAnswer(backbone=name, why=why, text=text, trials=[row.trial for row in rows])
    why, text = _of_space(study, header, name)
    return WhyAnswer(backbone=name, why=why, text=text, trials=[])


def _of_trials(name: str, rows: Sequence[TrialRow]) -> tuple[Why, str]:
    """Return what became of a backbone that was tried: the best of its trials says it."""
    on_front = [row for row in rows if row.is_on_front]
    if on_front:
        return "on_front", f"{name} is on the front: {_named(on_front)}."
    trained = [row for row in rows if row.metric is not None]
    if trained:
        best = max(trained, key=lambda row: row.metric or 0.0)
        shown = f"trial {best.trial} ({best.label}) has {best.metric:.4f}"
        if best.state == "waiting":
            return "waiting", f"{name} waits to be trained further: {shown} so far."
        return "trained", f"{name} was trained and others dominate it: {shown}."
    rejected = [row for row in rows if row.state == "rejected"]
    if rejected:
        last = rejected[-1]
        return "rejected", (
            f"{name} was not trained, since it is over a limit: {_named(rejected)}. "
            f"Of trial {last.trial}: {last.reason}."
        )
    return "failed", f"{name} has failed: {_named(rows)}. {(rows[-1].reason or '').rstrip('.')}."


def _named(rows: Sequence[TrialRow]) -> str:
    named = ", ".join(f"trial {row.trial} ({row.label})" for row in rows[:N_NAMED])
    more = f" and {len(rows) - N_NAMED} more" if len(rows) > N_NAMED else ""
    return named + more


def _of_space(study: ReadStudy, header: StudyHeader, name: str) -> tuple[Why, str]:
    """Return why a backbone without any trial has none."""
    row = catalog().get(name)
    space = _space_of(header)
    if row is None and name not in header.space.weights and name not in space.backbones:
        return "unknown", _unknown(name)
    reason = None if row is None else left_out_by(space, row)
    if row is not None and reason is not None:
        what = f"{row.params_m:.3g} million parameters, of the family {row.family}"
        return "left_out", f"{name} ({what}) is left out: {reason}."
    dropped = [
        line.removeprefix(f"{name}: ")
        for line in header.space.dropped
        if line.startswith(f"{name}: ")
    ]
    before = f"Before the search was left out of it: {'; '.join(dropped)}." if dropped else ""
    if dropped and name not in header.space.weights:
        return "left_out", f"{name} has no candidate. {before}"
    n_tried = len({e.candidate.id for e in study.results.evaluations})
    return "not_proposed", (
        f"{name} is in the space and was not proposed yet: {n_tried} of its "
        f"{count_of(header.space.size, 'candidate')} were tried. {before}".rstrip()
    )


def _unknown(name: str) -> str:
    if is_hub(name):
        return f"{quoted(name)} is not in space.backbones, and hf: names are taken one by one."
    return f"timm has no architecture that is called {quoted(name)}{near(name, list(catalog()))}."


def _space_of(header: StudyHeader) -> SpaceConfig:
    """Return the options of the space of a study.

    Raises:
        ConfigError: If its configuration is none of this version.
    """
    try:
        return build(completed(header.config)).space
    except ConfigError as error:
        raise ConfigError(
            "The configuration of the study is not of this version of archfront:", *error.problems
        ) from error
