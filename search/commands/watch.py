"""``archfront watch``: the progress of a study on a server, as it happens."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from archfront.search.commands.consoles import echo, print_note
from archfront.search.commands.server_connection import (
    TOKEN_VARIABLE,
    ServerConnection,
    read_token,
)

# The states of a study that goes on by itself; every other one is an end.
GOING_ON = ("waiting", "running", "pausing", "cancelling")
# Exit status by the state in which a study ended; 1 for others.
ENDS = {"finished": 0, "paused": 130, "cancelled": 130}
TEXT = """\
Follow a study of an archfront serve until it ends: each candidate that was trained, rejected or
has failed is a line, and so is every step before the first of them. After a break of the
connection it goes on where it was. Ctrl-C ends the following, not the study.

The token is taken from ARCHFRONT_TOKEN, or from a file.

The exit status is 0 where the study finished, 130 where somebody paused or cancelled it, else 1.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``archfront watch`` takes."""
    parser.description = TEXT
    parser.add_argument("study", help="name of the study")
    add_server(parser, is_required=True)
    parser.add_argument("--epochs", action="store_true", help="a line for every epoch too")


def add_server(parser: argparse.ArgumentParser, *, is_required: bool = False) -> None:
    """Add where a server is, and what it knows the user by."""
    parser.add_argument(
        "--server",
        metavar="URL",
        required=is_required,
        help="address of an archfront serve, as https://host:8000",
    )
    parser.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help=f"file with the token of the server (default: {TOKEN_VARIABLE})",
    )


def call(arguments: argparse.Namespace) -> int:
    """Print what happens in a study until it ends, and return the exit status."""
    connection = ServerConnection(arguments.server, read_token(arguments.token_file))
    return watch(connection, arguments.study, with_epochs=arguments.epochs)


def watch(connection: ServerConnection, study: str, *, with_epochs: bool = False) -> int:
    """Print what happens in a study until it ends, and return the exit status.

    Args:
        connection: To the server.
        study: Name of the study.
        with_epochs: Whether every epoch is told.

    Raises:
        RequestError: If there is no such study.
        ServiceError: If the server cannot be reached at the start, or later for minutes.
    """
    metric, state, reason, has_outcome = "metric", "", "", False
    for event in connection.events("studies", study, "events", lost=_tell_lost):
        if event.kind == "removed":
            echo(f"The study {study!r} was deleted.")
            return 1
        content = event.content
        found = content if event.kind == "study" else content.get("study")
        if event.kind == "change":
            has_outcome = has_outcome or content.get("row") is not None
            for step in change_lines(
                content, metric, with_epochs=with_epochs or not has_outcome, is_new=not has_outcome
            ):
                echo(step)
        if found is None:
            continue
        metric = found.get("metric") or metric
        before, state = (state, reason), found["state"]
        reason = found["reason"]
        if (state, reason) != before or event.kind == "snapshot":
            echo(state_line(found))
        if event.kind == "snapshot":
            has_outcome = any(found["counts"].values())
            for trial in content.get("running") or ():
                echo(running_line(trial))
        if state not in GOING_ON:
            break
    return ENDS.get(state, 1)


def _tell_lost() -> None:
    print_note("no connection, trying again")


def state_line(study: dict[str, Any]) -> str:
    """Return a study of a server in a line."""
    counts = ", ".join(f"{count} {kind}" for kind, count in study["counts"].items() if count)
    best = "" if study.get("best") is None else f"; best {study['metric']} {study['best']:.4f}"
    reason = f" ({study['reason'].splitlines()[0]})" if study["reason"] else ""
    if not counts:
        counts = "no candidate has an outcome yet"
        if study["state"] == "waiting":
            counts = "it waits for its turn"
        elif study["state"] == "running" and study.get("started") is None:
            counts = "it begins, the images are read first"
    return f"{study['name']}: {study['state']}{reason}: {counts}{best}"


def running_line(trial: dict[str, Any]) -> str:
    """Return a trial that runs on a server in a line."""
    doing = {
        "measuring": "its latency is measured",
        "fetching": "its first weights are fetched",
        "training": "it is trained",
    }.get(trial["stage"], trial["stage"])
    epoch = "" if trial.get("epoch") is None else f", epoch {trial['epoch']} is done"
    return f"trial {trial['trial']} {trial['label']}: {doing}{epoch}"


def change_lines(
    change: dict[str, Any], metric: str, *, with_epochs: bool, is_new: bool = False
) -> Iterator[str]:
    """Yield the lines about something that happened in a study.

    Args:
        change: As the server tells it.
        metric: Name of the study's metric.
        with_epochs: Whether every epoch is told.
        is_new: Whether no candidate has an outcome yet, so that every step is told.
    """
    row, fields = change.get("row"), change["fields"]
    if row is not None:
        yield trial_line(row, metric)
    elif change["event"] == "Noticed":
        yield f"note: {fields.get('message')}"
    elif change["event"] == "EpochFinished" and with_epochs:
        value = (fields.get("metrics") or {}).get(metric)
        shown = "" if value is None else f": {metric} {value:.4f}"
        yield f"trial {fields.get('trial')} epoch {fields.get('epoch')}{shown}"
    elif is_new:
        yield from _first_steps(change["event"], fields)


def _first_steps(event: str, fields: dict[str, Any]) -> Iterator[str]:
    """Yield what a study does before any candidate has an outcome."""
    trial = f"trial {fields.get('trial')}"
    match event:
        case "DataRead":
            yield f"the images of {fields.get('data')} are read"
        case "FilesSent" if fields.get("mb") == fields.get("of_mb"):
            yield f"node {fields.get('node')} has the files that it gets"
        case "StudyStarted":
            yield "the search begins"
        case "TrialProposed":
            yield f"{trial} {_label(fields)}: its latency is measured"
        case "WeightsFetched" if fields.get("mb") == fields.get("of_mb"):
            yield f"{trial}: the first weights of {fields.get('backbone')} are fetched"
        case "TrialMeasured":
            latency = (fields.get("measurement") or {}).get("latency") or {}
            value = latency.get("p50_ms")
            shown = "" if value is None else f"p50 {value:.3g} ms, "
            yield f"{trial} {_label(fields)}: {shown}it is trained"


def _label(fields: dict[str, Any]) -> str:
    """Return the candidate of a change for people; empty where it has another form."""
    from archfront.search.records.candidate import Candidate
    from archfront.search.records.codec import decode

    try:
        return decode(Candidate, fields.get("candidate")).label
    except (ValueError, TypeError):
        return ""


def trial_line(row: dict[str, Any], metric: str) -> str:
    """Return a trial of a server in a line."""
    start = f"trial {row['trial']} {row['label']}"
    if row["metric"] is None:
        return f"{start}: {row['state']}. {row['reason']}"
    latency = "" if row["latency_ms"] is None else f", p50 {row['latency_ms']:.3g} ms"
    front = ", on the front" if row["is_on_front"] else ""
    return f"{start}: {metric} {row['metric']:.4f} ({row['trained']}){latency}{front}"
