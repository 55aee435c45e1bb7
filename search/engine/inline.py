"""The engine without workers: a job runs when it is submitted, in this process.

For one job at a time, debugging and a run that repeats exactly. It isolates nothing: a segfault
or the system's out-of-memory killer ends the driver, a hang hangs it, and a job's ``timeout_s``
cannot be kept.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, ClassVar

from archfront.search.engine.failures import broken
from archfront.search.engine.jobs import (
    CLOSED,
    ClosedByBlock,
    Done,
    Job,
    OnEvent,
    Perform,
    Result,
    notify,
)
from archfront.search.engine.threads import thread_budget
from archfront.search.engine.worker import events_to
from archfront.search.errors import ConfigError
from archfront.trainers.threads import cores

logger = logging.getLogger(__name__)


class InlineEngine(ClosedByBlock):
    """The engine that runs each job within ``submit`` and returns a finished future.

    Only an exception is contained; Ctrl-C passes through. See the module's docstring for what
    this engine cannot do. Nothing is imported before a job needs it.
    """

    isolates: ClassVar[bool] = False

    def __init__(
        self,
        perform: Perform,
        *,
        workers: int = 1,
        threads: int | None = None,
        imports: tuple[str, ...] = (),
        exclusive_imports: tuple[str, ...] = (),
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        if workers != 1:
            raise ConfigError(
                f"engine.workers={workers}: the inline engine runs one job at a time, in this "
                "process. Set engine.workers=1, or engine=processes for several."
            )
        self.n_slots = 1
        self.threads = threads or cores()
        self._perform = perform
        self._clock = clock
        self._is_closed = False

    def submit(self, job: Job, on_event: OnEvent | None = None) -> Future[Result]:
        """Run a job and return its finished future; ``timeout_s`` is not kept."""
        future: Future[Result] = Future()
        future.set_running_or_notify_cancel()
        future.set_result(CLOSED if self._is_closed else self._run(job, on_event))
        return future

    def close(self) -> None:
        """Refuse further jobs; none is running."""
        self._is_closed = True

    def _run(self, job: Job, on_event: OnEvent | None) -> Result:
        def deliver(event: Any) -> None:
            if on_event is not None:
                notify(on_event, event)

        started = self._clock()
        try:
            with thread_budget(self.threads), events_to(deliver):
                value = self._perform(job)
        except KeyboardInterrupt:
            raise
        except (Exception, SystemExit) as error:
            logger.debug("The %s job failed.", job.kind, exc_info=True)
            return broken(error, seconds=self._clock() - started)
        return Done(value, self._clock() - started)
