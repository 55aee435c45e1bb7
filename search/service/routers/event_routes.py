"""The streams of events, one a page: server-sent events that begin with a snapshot."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from archfront.search.service.bodies import JSON_ERRORS
from archfront.search.service.dependencies import TheService
from archfront.search.service.event_stream import (
    StudyFeed,
    list_events,
    study_events,
    study_news,
)
from archfront.search.service.streams import Streams

router = APIRouter(tags=["events"])


def _streams(request: Request) -> Iterator[Streams]:
    streams: Streams = request.app.state.streams
    streams.take()
    try:
        yield streams
    finally:
        streams.give_back()


TheStreams = Annotated[Streams, Depends(_streams)]
Once = Annotated[
    bool,
    Query(
        description="the answer ends with what there is by now, for clients behind a proxy that "
        "holds streams back: they ask again"
    ),
]


def _feed(name: str, service: TheService, streams: TheStreams) -> StudyFeed:
    service.views.shown(name)  # a study that is not there is told before the stream begins
    return StudyFeed(service, name, streams)


@router.get("/studies/{name}/events", response_class=EventSourceResponse, responses=JSON_ERRORS)
async def follow_study(
    feed: Annotated[StudyFeed, Depends(_feed)],
    last_event_id: Annotated[str | None, Header(max_length=40)] = None,
    after: Annotated[
        str | None, Query(max_length=40, description="as the header Last-Event-ID")
    ] = None,
    once: Once = False,
) -> AsyncIterator[ServerSentEvent]:
    """Follow a study: a ``snapshot``, then each ``change`` of it with an id to go on from.

    A client that comes back with the header ``Last-Event-ID`` gets what came since, or another
    snapshot where that is long. ``study`` says that the state has changed, ``removed`` that the
    study was deleted. A comment comes every 15 seconds.
    """
    last = last_event_id or after
    async for event in study_news(feed, last) if once else study_events(feed, last):
        yield event


@router.get("/events", response_class=EventSourceResponse, responses=JSON_ERRORS)
async def follow_studies(
    streams: TheStreams, once: Once = False
) -> AsyncIterator[ServerSentEvent]:
    """Follow all studies: a ``snapshot``, then each ``study`` that changes or is ``removed``."""
    async for event in list_events(streams.studies, is_once=once):
        yield event
