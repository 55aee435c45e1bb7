"""A study: started, resumed where it stopped, or found finished.

It prints nothing and emits typed events. Only this process touches the databases; jobs are pure
functions in the engine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.budget import end_reason, exhausted
from search.config import Config, differences
from search.control import Control
from search.driver import Driver
from search.engine import ENGINES
from search.engine.jobs import Engine
from search.errors import ConfigChangedError
from search.evaluate import MEASURING_IMPORTS, TRAINING_IMPORTS, perform
from search.events import Follower
from search.imported import for_device
from search.latency.table import LatencyTable
from search.places import Places
from search.prepare import Prepared, Progress, check_same, objectives, prepare
from search.storage import StudyStore, driving


@dataclass(frozen=True)
class StudyResult:
    """How a run of a study ended.

    Attributes:
        state: ``finished``, ``interrupted`` or ``failed``.
        reason: Why, in words.
        was_finished: Whether the study had ended before, so that nothing was done.
        is_exhausted: Whether it had ended since its space has nothing left.
    """

    state: str
    reason: str
    was_finished: bool = False
    is_exhausted: bool = False


def run(
    config: Config,
    *,
    control: Control | None = None,
    followers: Sequence[Follower] = (),
    progress: Progress | None = None,
    engine: Engine | None = None,
    prepared: Prepared | None = None,
    table: LatencyTable | None = None,
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
        clock: Seconds since the epoch.

    Raises:
        ArchfrontError: When the study cannot begin or go on.
    """
    places = Places(Path(config.tracking.root), config.study)
    goals = objectives(config)
    with driving(places, config.tracking.storage_url, goals) as store, ExitStack() as stack:
        header = store.header
        if header is not None:
            _check_question(header, config)
            done = _done_before(store, header, config)
            if done is not None:
                return done
        # First, so that its workers do their imports while the data is read.
        engine = engine or stack.enter_context(_engine(config))
        table = table or LatencyTable(Path(config.tracking.device_db))
        prepared, known = for_device(prepared or prepare(config, progress), table)
        if header is not None:
            check_same(header, prepared)
        driver = Driver(prepared, store, engine, known, places, followers, clock)
        state, reason = driver.run(control or Control())
    return StudyResult(state, reason)


def _check_question(header: dict[str, Any], config: Config) -> None:
    changed = differences(header["question"], config.question())
    if changed:
        lines = "\n".join(f"  {line}" for line in changed)
        raise ConfigChangedError(
            f"The study {config.study!r} was started with another configuration:\n{lines}\n"
            "Resume it with the stored values (only budget, engine and tracking may change), or "
            "start another study with study=NAME."
        )


def _done_before(store: StudyStore, header: dict[str, Any], config: Config) -> StudyResult | None:
    """Return the result of a study that has nothing left to do."""
    state = store.state
    if state["state"] != "finished":
        return None
    if state["is_exhausted"]:
        size = header["space"]["size"]
        return StudyResult("finished", exhausted(size), was_finished=True, is_exhausted=True)
    reason = end_reason(store.evaluations(), config.budget)
    return None if reason is None else StudyResult("finished", reason, was_finished=True)


def _engine(config: Config) -> Engine:
    settings = config.engine
    return ENGINES[settings.name](
        perform,
        workers=settings.workers,
        threads=settings.threads,
        imports=TRAINING_IMPORTS,
        exclusive_imports=MEASURING_IMPORTS,
    )
