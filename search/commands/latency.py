"""``archfront latency``: the remembered latencies of devices measured, shown and moved."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from archfront.search.commands.consoles import echo, new_console, wide_console
from archfront.search.commands.flags import SWITCH, Flag, add_flags, collecting, given, misplaced
from archfront.search.errors import ConfigError, TableError
from archfront.search.latency.database import Entry, LatencyTable, default_path
from archfront.search.latency.table_places import path_or_url
from archfront.search.report.latency_tables import (
    Choice,
    device_rows,
    devices_table,
    failures_table,
    filled,
    in_order,
    latencies_table,
)
from archfront.trainers.words import count_of

ACTIONS = {
    "measure": "measure the architectures of a space that have no latency yet",
    "show": "the remembered latencies as a table or a plot",
    "devices": "the devices, with the number of latencies of each",
    "export": "write the remembered latencies to a CSV file",
    "import": "read such a file, also of another device",
    "forget": "remove remembered latencies or failures",
}
TEXT = """\
{actions}

examples:
  archfront latency measure space=small hardware=cpu_onnxruntime --sample 100
  archfront latency measure space.backbones='resnet*' --dry-run
  archfront latency show 'resnet*' --sort macs_g --html latency.html
  archfront latency export mine.csv
  archfront latency import phone.csv --device 'Pixel 8'
  archfront run hardware.device='Pixel 8' hardware.runtime=tflite data.root=photos
  archfront latency forget --runtime eager --yes

A file that is written by hand needs the columns device, runtime, backbone, head, input_size,
classes, channels and latency_ms.
"""
# Problems of a file that are printed; more are counted only.
SHOWN = 100
WIDTH = 200  # columns of a table that is not shown in a terminal


_CHOOSING = ("show", "export", "forget")
FLAGS = {
    "--classes": Flag(("measure",), "classes (default: 1000)", {"type": int, "metavar": "N"}),
    "--channels": Flag(("measure",), "of the images (default: 3)", {"type": int, "metavar": "N"}),
    "--limit": Flag(("measure",), "measure at most N now", {"type": int, "metavar": "N"}),
    "--sample": Flag(
        ("measure",), "N of the space, drawn at random", {"type": int, "metavar": "N"}
    ),
    "--seed": Flag(("measure",), "of the sample (default: 0)", {"type": int, "metavar": "N"}),
    "--dry-run": Flag(("measure",), "print counts and time, measure nothing", SWITCH),
    "--retry-failed": Flag(("measure",), "measure again what failed", SWITCH),
    "--again": Flag(("measure",), "measure again what is remembered", SWITCH),
    "--plain": Flag(("measure",), "plain lines, no progress bar", SWITCH),
    "--device": Flag((*_CHOOSING, "import"), "id or description of a device", {"metavar": "NAME"}),
    "--runtime": Flag(_CHOOSING, "only of this runtime", {"metavar": "NAME"}),
    "--precision": Flag(_CHOOSING, "only of this precision", {"metavar": "NAME"}),
    "--failed": Flag(("show", "forget"), "the failures instead of the latencies", SWITCH),
    "--sort": Flag(("show",), "column to sort by (default: latency_ms)", {"metavar": "NAME"}),
    "--json": Flag(("show", "devices"), "as JSON", SWITCH),
    "--csv": Flag(("show",), "as CSV, as export writes it", SWITCH),
    "--html": Flag(("show",), "draw latency against work", {"type": Path, "metavar": "FILE"}),
    "--png": Flag(("show",), "the same as a PNG", {"type": Path, "metavar": "FILE"}),
    "--force": Flag(("show", "export"), "replace a file that is there", SWITCH),
    "--skip-bad": Flag(("import",), "import the good rows of a file with bad ones", SWITCH),
    "--yes": Flag(("forget",), "do not ask", SWITCH),
}
# The least value of each flag that takes a number.
LEAST = {"classes": 1, "channels": 1, "limit": 1, "sample": 1, "seed": 0}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``archfront latency`` takes."""
    lines = "\n".join(f"  {name:<8} {text}" for name, text in ACTIONS.items())
    parser.epilog = TEXT.format(actions=lines)
    parser.add_argument("action", choices=ACTIONS, metavar="ACTION", help="see below")
    parser.add_argument(
        "words",
        nargs="*",
        metavar="word",
        help="group=name or option=value to measure; patterns of backbones to show, export or "
        "forget; the file to export or import",
    )
    parser.add_argument(
        "--db",
        type=path_or_url,
        metavar="FILE",
        help="the table, or a URL of PostgreSQL (default: ARCHFRONT_DEVICE_DB, else in the cache "
        "folder)",
    )
    add_flags(parser, FLAGS)


def call(arguments: argparse.Namespace) -> int:
    """Do the action that the arguments name and return the exit status."""
    problems = misplaced(arguments, "latency", FLAGS)
    problems += [
        f"--{name}: a whole number of at least {low} is needed; got {given(arguments, name)}."
        for name, low in LEAST.items()
        if given(arguments, name) is not None and given(arguments, name) < low
    ]
    if problems and arguments.action == "measure":
        from archfront.search.commands.device_text import composed_config

        with collecting(problems):
            composed_config(arguments.words, arguments.db)
    if problems:
        raise ConfigError(*problems)
    return CALLS[arguments.action](arguments)


def _measure(arguments: argparse.Namespace) -> int:
    from archfront.search.commands.latency_measure import measure

    return measure(arguments, console(arguments.plain))


def _show(arguments: argparse.Namespace) -> int:
    table = _table(arguments)
    if arguments.failed:
        return _show_failures(arguments, table)
    entries = in_order(filled(_chosen(arguments, table)), arguments.sort or "latency_ms")
    devices = table.devices()
    if arguments.html is not None or arguments.png is not None:
        return _draw(arguments, entries)
    if arguments.csv:
        from archfront.search.latency.transfer import write_csv

        write_csv(sys.stdout, entries, devices)
    elif arguments.json:
        from archfront.search.latency.transfer import as_row

        words = {name: device.words for name, device in devices.items()}
        rows = [{**as_row(e), "device_words": words.get(e.key.device)} for e in entries]
        echo(json.dumps(rows, indent=2))
    else:
        console().print(latencies_table(entries, devices))
        n_failed = len(table.failures())
        if n_failed:
            echo(f"{n_failed} could not be measured: archfront latency show --failed")
    return 0


def _show_failures(arguments: argparse.Namespace, table: LatencyTable) -> int:
    failures = table.failures()
    if not failures:
        echo(f"No failure is remembered in {table.name}.")
        return 0
    keys = _choice(arguments).keys(table, [entry.key for entry in failures])
    chosen = [entry for entry in failures if entry.key in keys]
    if arguments.json:
        rows = [
            {"backbone": e.key.architecture.backbone, "head": e.key.architecture.head}
            | {"input_size": e.key.architecture.input_size, "device": e.key.device}
            | {"runtime": e.key.runtime, "kind": e.failed.kind, "message": e.failed.message}
            for e in chosen
        ]
        echo(json.dumps(rows, indent=2))
    else:
        console().print(failures_table(chosen))
    return 0


def _draw(arguments: argparse.Namespace, entries: Sequence[Entry]) -> int:
    drawn = [entry for entry in entries if entry.measurement.macs_g > 0]
    if not drawn:
        raise TableError("Nothing can be drawn: the work (macs_g) of none of them is known.")
    devices = {entry.key.device for entry in drawn}
    words = _table(arguments).devices()
    name = words[next(iter(devices))].words if len(devices) == 1 else f"{len(devices)} devices"
    title = f"{count_of(len(drawn), 'latency', 'latencies')} of {name}"
    for path in (arguments.html, arguments.png):
        if path is not None:
            _check_free(path, is_forced=arguments.force)
    if arguments.html is not None:
        from archfront.search.report.latency_figure import latency_figure
        from archfront.search.report.page_figure import to_html

        page = to_html(latency_figure(drawn, title))
        arguments.html.write_text(page, encoding="utf-8")
        echo(arguments.html)
    if arguments.png is not None:
        from archfront.search.report.latency_png import write_png

        write_png(drawn, title, arguments.png)
        echo(arguments.png)
    return 0


def _devices(arguments: argparse.Namespace) -> int:
    from archfront.search.latency.device import fingerprint

    _no_words(arguments)
    rows = device_rows(_table(arguments), fingerprint().id)
    if arguments.json:
        echo(json.dumps(rows, indent=2))
    else:
        console().print(devices_table(rows))
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from archfront.search.latency.transfer import write_csv

    path = _file(arguments)
    table = _table(arguments)
    entries = _chosen(arguments, table)
    _check_free(path, is_forced=arguments.force)
    with path.open("w", newline="", encoding="utf-8") as file:
        write_csv(file, entries, table.devices())
    echo(f"{count_of(len(entries), 'latency', 'latencies')} in {path}")
    return 0


def _import(arguments: argparse.Namespace) -> int:
    from archfront.search.latency.transfer import read_csv

    path = _file(arguments)
    if arguments.words:
        raise ConfigError(f"archfront latency import takes one file; got {arguments.words[0]!r}.")
    reading = read_csv(path, device=arguments.device)
    if reading.problems and not (arguments.skip_bad and reading.entries):
        lines = reading.problems[:SHOWN]
        more = len(reading.problems) - len(lines)
        lines += [f"and {count_of(more, 'more problem')}"] if more else []
        end = "--skip-bad imports the others." if reading.entries else "No row of it can be used."
        listed = "\n".join(f"  {line}" for line in lines)
        total = len(reading.entries) + reading.n_bad
        raise TableError(
            f"{reading.n_bad} of {count_of(total, 'row')} of {path} cannot be imported, so none "
            f"was:\n{listed}\n{end}"
        )
    table = LatencyTable(arguments.db or default_path())
    counts = table.put_imported(reading.entries, reading.words)
    changes = [f"{count} {change}" for change, count in counts.items() if count]
    for line in reading.problems:
        echo(f"left out: {line}")
    left_out = f", {reading.n_bad} left out" if reading.n_bad else ""
    n_read = count_of(len(reading.entries), "latency", "latencies")
    echo(f"{n_read} read: {', '.join(changes)}{left_out}.")
    if counts["kept"]:
        echo("kept: those were measured here, which is not replaced by what is imported.")
    for device, words in reading.words.items():
        name = device if words == device else f"{device} ({words})"
        runtimes = sorted({e.key.runtime for e in reading.entries if e.key.device == device})
        echo(f"device {name}: hardware.runtime={'|'.join(runtimes)} hardware.device='{device}'")
    return 0


def _forget(arguments: argparse.Namespace) -> int:
    table = _table(arguments)
    failures = [entry.key for entry in table.failures()]
    keys = failures if arguments.failed else [*(e.key for e in table.entries()), *failures]
    if not keys:
        echo("There is no failure to forget.")
        return 0
    chosen = _choice(arguments).keys(table, keys)
    kind = "remembered failure" if arguments.failed else "remembered result"
    what = f"{len(chosen)} of {count_of(len(set(keys)), kind)}"
    if not arguments.yes:
        if not sys.stdin.isatty():
            raise TableError(f"This would remove {what} from {table.name} for good. Say --yes.")
        if input(f"Remove {what}? [y/N] ").strip().lower() not in ("y", "yes"):
            echo("Nothing was removed.")
            return 1
    table.remove(chosen)
    echo(f"Removed {what}.")
    return 0


def _table(arguments: argparse.Namespace) -> LatencyTable:
    """Return the latency table, which holds at least one latency or failure."""
    table = LatencyTable(arguments.db or default_path())
    if not table.has_any():
        raise TableError(
            f"Nothing is remembered in {table.name} yet. archfront latency measure fills it, and "
            "so does every study."
        )
    return table


def _choice(arguments: argparse.Namespace) -> Choice:
    return Choice(tuple(arguments.words), arguments.device, arguments.runtime, arguments.precision)


def _chosen(arguments: argparse.Namespace, table: LatencyTable) -> list[Entry]:
    entries = table.entries()
    if not entries:
        raise TableError(
            f"No latency is remembered in {table.name}, only failures: "
            "archfront latency show --failed"
        )
    keys = _choice(arguments).keys(table, [entry.key for entry in entries])
    return [entry for entry in entries if entry.key in keys]


def _file(arguments: argparse.Namespace) -> Path:
    """Take the file out of the words and return its path."""
    if not arguments.words:
        raise ConfigError(
            f"archfront latency {arguments.action} needs a file, such as latencies.csv."
        )
    return Path(arguments.words.pop(0)).expanduser()


def _no_words(arguments: argparse.Namespace) -> None:
    if arguments.words:
        raise ConfigError(
            f"archfront latency {arguments.action} takes no words; got {arguments.words[0]!r}."
        )


def _check_free(path: Path, *, is_forced: bool) -> None:
    if path.exists() and not is_forced:
        raise TableError(f"{path} is there already. --force replaces it.")
    if not path.parent.is_dir():
        raise TableError(f"{path} cannot be written: there is no folder {path.parent}.")


def console(is_plain: bool = False) -> Console:
    """Return where to print: as wide as the terminal, or wide enough for a file."""
    return new_console(width=WIDTH) if is_plain else wide_console(WIDTH)


CALLS: dict[str, Callable[[argparse.Namespace], int]] = {
    "measure": _measure,
    "show": _show,
    "devices": _devices,
    "export": _export,
    "import": _import,
    "forget": _forget,
}
