"""The streams of events: a snapshot, then changes, for as long as the reader takes them.

A reader of a study follows the file of its events, so that a server holds nothing for it: where
the reader is slow, reading waits, and where it is far behind, it gets another snapshot instead.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from fastapi.sse import ServerSentEvent
from starlette.concurrency import run_in_threadpool

from archfront.search.errors import RequestError, StudyError
from archfront.search.records.paths import StudyPaths
from archfront.search.service.answers import FrontAnswer, TrialRow
from archfront.search.service.bodies import Study
from archfront.search.service.event_answers import StudyChange, StudyGone, StudySnapshot
from archfront.search.service.front_answers import whole_front
from archfront.search.service.log_reader import LogLine, LogReader, Mark
from archfront.search.service.state import Service
from archfront.search.service.streams import Streams
from archfront.search.service.trial_answers import plain, table_of

# Seconds between two looks at a file that has not grown, and at the states of studies.
POLL_S, STATE_S = 0.1, 1.0
# Bytes that a reader may be behind before it gets a snapshot in their place.
BEHIND_BYTES = 500_000
# Seconds after which a stream ends. Its reader comes back at once, with a token that is checked
# anew, and loses nothing.
LIFE_S = 900.0
# Milliseconds in which a reader comes back.
RETRY_MS = 2000
# Events after which something of a trial, or of the whole study, was recorded.
RECORDED = {"RungFinished", "TrialFinished", "TrialRemeasured"}
OF_STUDY = {"StudyStarted", "StudyFinished", "TrialsStopped", *RECORDED}


class StudyFeed:
    """What a stream says of one study.

    Args:
        service: The service.
        name: Name of the study.
        streams: What streams have in common.
    """

    def __init__(self, service: Service, name: str, streams: Streams) -> None:
        self._service, self.name, self._streams = service, name, streams
        path = StudyPaths(service.settings.root, name).events
        self._live = streams.live.of(path)
        self.log = LogReader(path)

    def study(self) -> Study | None:
        """Return the study in short; None where it is no longer there."""
        return self._streams.study(self.name)

    def snapshot(self) -> tuple[Mark, StudySnapshot | None]:
        """Return the end of the log and the study there; None where it is no longer there."""
        # The records are read after the log: what is recorded meanwhile comes again as a change.
        mark, running, notices = self._live.now()
        study = self.study()
        if study is None:
            return mark, None
        front = self.front()
        return mark, StudySnapshot(study=study, front=front, running=running, notices=notices)

    def front(self) -> FrontAnswer | None:
        """Return the front; None before anything is recorded."""
        try:
            return whole_front(self._service.read(self.name))
        except (RequestError, StudyError):
            return None

    def change(self, line: LogLine) -> StudyChange:
        """Return what a line of the log says, with what was recorded by then or since."""
        fields = plain(line.content)
        event, at = str(fields.pop("event")), fields.pop("time", None)
        trial = fields.get("trial")
        return StudyChange(
            time=at if isinstance(at, int | float) else 0.0,
            event=event,
            fields=fields,
            row=self._row(trial) if event in RECORDED and isinstance(trial, int) else None,
            study=self.study() if event in OF_STUDY else None,
            front=self.front() if event in OF_STUDY else None,
        )

    def _row(self, trial: int) -> TrialRow | None:
        try:
            return table_of(self._service.read(self.name)).row(trial)
        except (RequestError, StudyError):
            return None


@dataclass
class _Sent:
    """What a reader of a study knows.

    Attributes:
        mark: The place in the log behind the last event.
        study: The study as it was sent last.
        front: The front as it was sent last.
    """

    mark: Mark
    study: Study | None = None
    front: FrontAnswer | None = None

    def changed(self, change: StudyChange) -> StudyChange:
        """Return a change without the front, where the reader has it already."""
        self.study = change.study or self.study
        if change.front is None or change.front == self.front:
            return change.model_copy(update={"front": None})
        self.front = change.front
        return change


async def study_events(
    feed: StudyFeed,
    last: str | None,
    *,
    poll_s: float = POLL_S,
    life_s: float = LIFE_S,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[ServerSentEvent]:
    """Yield the events of a study: ``snapshot``, ``change``, ``study`` and ``removed``.

    Args:
        feed: What is said of the study.
        last: Id of the last event that the reader has; None for none.
        poll_s: Seconds between two looks at a log that has not grown.
        life_s: Seconds after which the stream ends.
        clock: Seconds.
    """
    until, next_look = clock() + life_s, 0.0
    mark = Mark.parse(last)
    is_known = mark is not None and await run_in_threadpool(feed.log.holds, mark)
    sent = _Sent(mark) if mark is not None and is_known else None
    while (now := clock()) < until:
        if sent is None or feed.log.size() - sent.mark.offset > BEHIND_BYTES:
            at, snapshot = await run_in_threadpool(feed.snapshot)
            if snapshot is None:
                break
            sent = _Sent(at, snapshot.study, snapshot.front)
            yield _event("snapshot", snapshot, at)
        if feed.log.size() == sent.mark.offset and now < next_look:
            await asyncio.sleep(poll_s)
            continue
        lines, place = await run_in_threadpool(feed.log.read, sent.mark)
        for line in lines:
            change = sent.changed(await run_in_threadpool(feed.change, line))
            yield _event("change", change, line.end)
        is_still, sent.mark = place == sent.mark, place
        if now >= next_look:
            next_look = now + STATE_S
            study = await run_in_threadpool(feed.study)
            if study is None:
                break
            if study != sent.study:
                sent.study = study
                yield _event("study", study, sent.mark)
            if not await run_in_threadpool(feed.log.holds, sent.mark):
                sent = None
        elif is_still:  # a line that is not whole
            await asyncio.sleep(poll_s)
    else:
        return
    yield _event("removed", StudyGone(name=feed.name), None)


async def study_news(feed: StudyFeed, last: str | None) -> AsyncIterator[ServerSentEvent]:
    """Yield what there is to say of a study by now: a snapshot, or each change and the study.

    For readers behind a proxy that holds streams back, which ask again and again.

    Args:
        feed: What is said of the study.
        last: Id of the last event that the reader has; None for none.
    """
    mark = Mark.parse(last)
    is_known = mark is not None and await run_in_threadpool(feed.log.holds, mark)
    if mark is None or not is_known or feed.log.size() - mark.offset > BEHIND_BYTES:
        at, snapshot = await run_in_threadpool(feed.snapshot)
        if snapshot is None:
            yield _event("removed", StudyGone(name=feed.name), None)
        else:
            yield _event("snapshot", snapshot, at)
        return
    sent, is_whole = _Sent(mark), False
    while not is_whole:
        lines, place = await run_in_threadpool(feed.log.read, sent.mark)
        for line in lines:
            change = sent.changed(await run_in_threadpool(feed.change, line))
            yield _event("change", change, line.end)
        is_whole, sent.mark = place == sent.mark, place
    study = await run_in_threadpool(feed.study)
    if study is None:
        yield _event("removed", StudyGone(name=feed.name), None)
    else:
        yield _event("study", study, sent.mark)


async def list_events(
    listed: Callable[[], list[Study]],
    *,
    poll_s: float = STATE_S,
    life_s: float = LIFE_S,
    clock: Callable[[], float] = time.monotonic,
    is_once: bool = False,
) -> AsyncIterator[ServerSentEvent]:
    """Yield the events of all studies: ``snapshot``, then ``study`` and ``removed``.

    Args:
        listed: Returns all studies.
        poll_s: Seconds between two looks.
        life_s: Seconds after which the stream ends.
        clock: Seconds.
        is_once: Whether it ends after the snapshot.
    """
    until = clock() + life_s
    known: dict[str, Study] | None = None
    while clock() < until:
        now = {study.name: study for study in await run_in_threadpool(listed)}
        if known is None:
            shown = [study.model_dump(mode="json") for study in now.values()]
            yield ServerSentEvent(data={"studies": shown}, event="snapshot", retry=RETRY_MS)
            if is_once:
                return
        else:
            for name, study in now.items():
                if known.get(name) != study:
                    yield _event("study", study, None)
            for name in known.keys() - now.keys():
                yield _event("removed", StudyGone(name=name), None)
        known = now
        await asyncio.sleep(poll_s)


def _event(
    kind: str, content: StudySnapshot | StudyChange | Study | StudyGone, mark: Mark | None
) -> ServerSentEvent:
    is_first = kind == "snapshot"
    return ServerSentEvent(
        raw_data=content.model_dump_json(),
        event=kind,
        id=None if mark is None else str(mark),
        retry=RETRY_MS if is_first else None,
    )
