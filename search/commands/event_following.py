"""Following the events of a server, by its stream or by asking again.

A proxy may hold a stream back until it ends, or until so many bytes have come. So the first answer
is a whole one, with what there is by now, which comes through any proxy. Then the stream is read,
in which the server says something every 15 seconds. One that stays silent is left for good, and
whole answers are asked for instead.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any

from archfront.search.errors import RequestError, ServiceError

# Seconds without anything of a stream, which sends a comment every 15.
SILENCE_S = 20.0
# Attempts in a row to come back, and seconds before each; also those between two whole answers.
RETRIES, RETRY_S = 60, 2.0
# Code of the error of a study that is not there.
NO_STUDY = "no_such_study"


@dataclass(frozen=True)
class ServerEvent:
    """An event of a stream.

    Attributes:
        kind: ``snapshot``, ``change``, ``study`` or ``removed``.
        id: Where the stream goes on after it; empty where it has none.
        content: What it says.
    """

    kind: str
    id: str
    content: Any


def follow(
    ask: Callable[[str, bool], Iterator[ServerEvent]],
    *,
    is_one: bool,
    lost: Callable[[], None] = lambda: None,
) -> Iterator[ServerEvent]:
    """Yield events, each once; after a break it goes on behind the last one.

    Args:
        ask: Yields the events after an id, empty for none: those that there are by now when the
            second argument is true, else those of a stream.
        is_one: Whether they are of one study, so that its removal is the end.
        lost: Called once for each time that the connection is lost.

    Raises:
        RequestError: If the server refuses the request.
        ServiceError: If the server cannot be reached at the start, or later for minutes.
    """
    last, study, failures = "", None, 0
    is_new, is_held = True, False
    while True:
        # After a failure, too: a stream that is held would not say that the server is back.
        is_whole, has_any = is_new or is_held or failures > 0, False
        try:
            for event in ask(last, is_whole):
                is_new, has_any, failures, last = False, True, 0, event.id or last
                found = _study_in(event)
                if event.kind == "study" and found == study:  # each whole answer ends with it
                    continue
                study = found or study
                yield event
                if event.kind == "removed" and is_one:
                    return
            is_held = is_held or not (is_whole or has_any)
            failures = 0
        except RequestError as error:
            if error.code == NO_STUDY and is_one and not is_new:
                yield ServerEvent("removed", "", {"name": (study or {}).get("name", "")})
                return
            if is_new or (error.status < 500 and error.status != 429):
                raise
            # A proxy says so that it waited for the end of a stream.
            is_held = is_held or not is_whole
            failures += 1
            if failures > RETRIES:
                raise
        except ServiceError as error:
            if not is_whole and is_silence(error):
                is_held = True
            else:
                failures += 1
                if is_new or failures > RETRIES:
                    raise
        if failures == 1:
            lost()
        if failures or is_held:
            time.sleep(RETRY_S)


def _study_in(event: ServerEvent) -> dict[str, Any] | None:
    """Return the study that an event gives whole; None where it gives none."""
    found: dict[str, Any] | None
    found = event.content if event.kind == "study" else event.content.get("study")
    return found


def is_silence(error: ServiceError) -> bool:
    """Return whether an error is of a server or proxy that said nothing in time."""
    cause = error.__cause__
    return isinstance(cause, TimeoutError) or isinstance(
        getattr(cause, "reason", None), TimeoutError
    )


def read_events(answer: IO[bytes]) -> Iterator[ServerEvent]:
    """Yield the events of an answer until it ends.

    Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
    """
    kind, id, data = "message", "", []
    while line := answer.readline():
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        name, _, value = text.partition(":")
        value = value.removeprefix(" ")
        if text:
            if name == "event":
                kind = value
            elif name == "id":
                id = value
            elif name == "data":
                data.append(value)
            continue
        if data:
            yield ServerEvent(kind, id, json.loads("\n".join(data)))
        kind, id, data = "message", "", []
