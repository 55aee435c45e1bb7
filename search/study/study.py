"""A study: started, resumed where it stopped, or found finished.

It prints nothing and emits typed events. Only this process touches the databases; jobs are pure
functions in the engine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from archfront.search.config.build import completed, differences
from archfront.search.config.schema import Config
from archfront.search.config.settings import latency_table, rung_epochs, with_metric
from archfront.search.engine.jobs import Engine
from archfront.search.errors import ConfigChangedError
from archfront.search.latency.database import LatencyTable
from archfront.search.latency.lookup import CostLookup
from archfront.search.prepare.fit_space import as_chosen
from archfront.search.prepare.imported_device import for_device
from archfront.search.prepare.make_engine import device_of, make_engine
from archfront.search.prepare.prepare import Prepared, Progress, check_same, objectives, prepare
from archfront.search.records.evaluation import Trained, is_passing
from archfront.search.records.events import DataRead, Event, Follower
from archfront.search.records.header import StudyHeader
from archfront.search.records.paths import StudyPaths
from archfront.search.records.plan import Plan
from archfront.search.records.seconds import active_seconds
from archfront.search.records.store import StudyStore, driving
from archfront.search.study.budget import RemainingBudget, budget_words, end_reason, exhausted
from archfront.search.study.control import Control
from archfront.search.study.driver import Driver
from archfront.search.study.machine import stopped_by_machine
from archfront.search.study.planning import plan_study
from archfront.trainers.spec import Precision

FrontState = Literal["full", "provisional", "empty"]


@dataclass(frozen=True)
class StudyResult:
    """The end of a run of a study.

    Attributes:
        state: ``finished``, ``interrupted`` or ``stopped``.
        reason: Why, in words.
        was_finished: Whether the study had ended before, so that nothing was done.
        is_exhausted: Whether it had ended since its space has nothing left.
        front: ``full`` where a member was trained in full, ``provisional`` where members were only
            trained less, ``empty`` without members; None where nobody has looked.
    """

    state: str
    reason: str
    was_finished: bool = False
    is_exhausted: bool = False
    front: FrontState | None = None


@stopped_by_machine()
def run(
    config: Config,
    *,
    control: Control | None = None,
    followers: Sequence[Follower] = (),
    progress: Progress | None = None,
    engine: Engine | None = None,
    prepared: Prepared | None = None,
    table: LatencyTable | None = None,
    known: CostLookup | None = None,
    clock: Callable[[], float] = time.time,
) -> StudyResult:
    """Run a study until its budget or space is used up, or go on where it stopped.

    Args:
        config: The study.
        control: Pauses or cancels it.
        followers: Called with every event, in this thread or an engine's.
        progress: Called with the images decoded and in total while the data loads.
        engine: Where jobs run; made from the configuration when None.
        prepared: The study's data and space; made from the configuration when None.
        table: Remembered latencies; the device's own when None.
        known: The look-up of the costs; that of the table when None.
        clock: Seconds since the epoch.

    Raises:
        ArchfrontError: When the study cannot begin or go on.
    """
    paths = StudyPaths(Path(config.tracking.root), config.study)
    goals, began = objectives(config), clock()
    emit = _to_all(followers)
    with driving(paths, config.tracking.storage_url, goals) as store, ExitStack() as stack:
        header = store.header
        if header is not None:
            _check_identity(header, config := with_metric(config, header.metric))
            config = as_chosen(config, header.space.chosen)
            if (done := _done_before(store, header, config)) is not None:
                return done
        # Its workers import while the data is read.
        engine = engine or stack.enter_context(make_engine(config, emit))
        prepared = prepared or prepare(config, progress, begun=header, engine=engine)
        table = table or latency_table(config)
        config = with_metric(config, prepared.objectives[0].name)
        prepared, from_table = _on_device(replace(prepared, config=config), engine, table)
        if header is not None:
            check_same(header, prepared)
        emit(DataRead(config.study, config.data.title, prepared.dataset))
        plan, precision = _plan(prepared, header, engine, emit, lambda: clock() - began)
        driver = Driver(
            replace(prepared, plan=plan),
            store,
            engine,
            lookup=known or from_table,
            paths=paths,
            precision=precision,
            began=began,
            followers=followers,
            clock=clock,
        )
        return StudyResult(*driver.run(control or Control()))


def _to_all(followers: Sequence[Follower]) -> Follower:
    """Return the follower that gives every event to all of them."""

    def emit(event: Event) -> None:
        for follower in followers:
            follower(event)

    return emit


def _on_device(
    prepared: Prepared, engine: Engine, table: LatencyTable
) -> tuple[Prepared, CostLookup]:
    """Return a study for its device, which may be that of a cluster's nodes, and its costs."""
    measuring = device_of(engine, prepared.config.hardware.runtime)
    if measuring is not None:
        table.put_imported([], {measuring.id: measuring.words})
    return for_device(replace(prepared, measuring=measuring), table)


def _plan(
    prepared: Prepared,
    header: StudyHeader | None,
    engine: Engine,
    emit: Follower,
    used: Callable[[], float],
) -> tuple[Plan, Precision]:
    """Return the plan and the precision that a study began with, or begins with."""
    if header is not None:
        return header.trainings, header.precision
    return plan_study(prepared, engine, emit, used)


def _check_identity(header: StudyHeader, config: Config) -> None:
    """Check that a configuration is the one that the study began with, its rungs too.

    Raises:
        ConfigChangedError: If it is another one.
    """
    changed = differences(completed(header.identity), config.identity())
    if changed:
        lines = "\n".join(f"  {line}" for line in changed)
        raise ConfigChangedError(
            f"The study {config.study!r} was started with another configuration:\n{lines}\n"
            "Resume it with the stored values (only budget, engine and tracking may change), or "
            "start another study with study=NAME."
        )
    stored, asked = header.rungs, rung_epochs(config)
    if config.budget.rungs is not None and asked != stored:
        raise ConfigChangedError(
            f"budget.rungs: {list(stored)} in the study {config.study!r}, "
            f"{list(asked)} now. What its candidates gave compares at the same "
            "epochs only: leave budget.rungs as it was, or start another study with study=NAME."
        )


def _done_before(store: StudyStore, header: StudyHeader, config: Config) -> StudyResult | None:
    """Return the result of a study that has nothing left to do."""
    state = store.state
    if state["state"] != "finished":
        return None
    evaluations = store.evaluations()
    if state["is_exhausted"]:
        tried = exhausted(header.space.size, evaluations)
        return StudyResult("finished", tried, was_finished=True, is_exhausted=True)
    has_trained = any(isinstance(e.outcome, Trained) for e in evaluations)
    is_final = has_trained and not any(map(is_passing, evaluations))
    if is_final and state["budget"] == budget_words(config.budget):
        return StudyResult("finished", str(state["reason"]), was_finished=True)
    left = RemainingBudget(
        config.budget, header.trainings, evaluations, seconds=active_seconds(evaluations)
    )
    reason = end_reason(evaluations, config.budget, left)
    return None if reason is None else StudyResult("finished", reason, was_finished=True)
