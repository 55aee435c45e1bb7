"""``archfront advise``: the front to expect, in minutes and without any training."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.progress import TimeElapsedColumn

from archfront.search.advise.advice import Advice, Field, Option, options_of
from archfront.search.advise.sweep import LatencySweep, sweep_costs
from archfront.search.commands.consoles import (
    described_bar,
    echo,
    new_console,
    print_lines,
    print_table,
    wide_console,
)
from archfront.search.commands.device_text import composed_config, image_shape
from archfront.search.commands.flags import collecting, not_counts, page_problems
from archfront.search.config.schema import Config
from archfront.search.config.settings import latency_table
from archfront.search.engine.interrupts import terminate_like_interrupt
from archfront.search.errors import ConfigError
from archfront.search.latency.table_places import path_or_url
from archfront.search.prepare.gate import exceeded
from archfront.search.prepare.make_engine import measuring_engine
from archfront.search.prepare.study_settings import resolve
from archfront.search.records.evaluation import Failed, Measurement
from archfront.search.report.fitted_table import Column, FittedTable
from archfront.trainers.words import count_of, duration

INTERRUPTED = 130  # what a shell gives for a command ended by Ctrl-C
WIDTH = 150  # columns of a table that is not shown in a terminal
TEXT = """\
Measures the latency of networks with published weights on this device, but only of those that
could be on the front of published ImageNet accuracy against latency; each of the others is
predicted to be slower than a network that is more accurate. Measured latencies are remembered, for
this command and for every study.

examples:
  archfront advise hardware.limits.latency_ms=20
  archfront advise data.root=photos hardware=cpu_openvino hardware.limits.size_mb=50
  archfront advise space=timm space.licences='apache-2.0,mit' --minutes 10 --html advice.html
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``archfront advise`` takes."""
    parser.epilog = TEXT
    parser.add_argument(
        "words", nargs="*", metavar="word", help="group=name or option=value, as for run"
    )
    parser.add_argument(
        "--minutes",
        type=float,
        default=5.0,
        help="minutes of measuring, at most (default: %(default)g)",
    )
    parser.add_argument(
        "--classes", type=int, metavar="N", help="classes, where no data is named (default: 1000)"
    )
    parser.add_argument(
        "--channels", type=int, metavar="N", help="channels, where no data is named (default: 3)"
    )
    parser.add_argument("--json", action="store_true", help="the front as records")
    parser.add_argument("--html", type=Path, metavar="FILE", help="draw the front into a page too")
    parser.add_argument("--plain", action="store_true", help="plain lines, no progress bar")
    parser.add_argument(
        "--db",
        type=path_or_url,
        metavar="FILE",
        help="the latency table, or a URL of PostgreSQL (default: that of every study)",
    )


def call(arguments: argparse.Namespace) -> int:
    """Measure the networks that could be on the front, print it, and return the exit status."""
    problems = _problems(arguments)
    words = list(arguments.words)
    if not any(word.startswith("space=") for word in words):
        words.append("space=timm")
    with collecting(problems):
        config = composed_config(words, arguments.db)
    if problems:
        raise ConfigError(*problems)
    if config.hardware.device is not None:
        raise ConfigError(
            f"hardware.device={config.hardware.device}: advise measures on this machine. Leave "
            "it null."
        )
    classes, channels = image_shape(arguments, config)
    field = options_of(config, classes=classes, channels=channels)
    if not field.options:
        raise ConfigError(
            "space: no backbone that is left has a published accuracy, so there is nothing to "
            "advise. Widen space.backbones, for example by space=timm, or run a study: archfront "
            "run ..."
        )
    limits = config.hardware.limits
    advice = Advice(field.options, lambda m: exceeded(m, limits), limits.latency_ms)
    terminal = new_console(stderr=True)
    console = wide_console(WIDTH)
    terminate_like_interrupt()
    status = 0
    started = time.monotonic()
    try:
        _measure(config, advice, arguments, terminal)
    except KeyboardInterrupt:
        status = INTERRUPTED
    if arguments.html is not None:
        _draw(advice, config, arguments.html)
    if arguments.json:
        echo(json.dumps([_row(advice, i) for i in advice.front()], indent=2))
    else:
        _print(console, advice, field, config, time.monotonic() - started)
    return status


def _problems(arguments: argparse.Namespace) -> list[str]:
    """Return everything that is wrong with the flags."""
    problems = []
    if not arguments.minutes > 0:
        problems.append(f"--minutes: a number above 0 is needed; got {arguments.minutes:g}.")
    counts = not_counts({"classes": arguments.classes, "channels": arguments.channels})
    problems += [f"--{name}: {problem}" for name, problem in counts.items()]
    return problems + page_problems(arguments.html)


def _measure(
    config: Config, advice: Advice, arguments: argparse.Namespace, console: Console
) -> None:
    """Measure until no other network could be on the front, or the time is over."""
    table = latency_table(config)
    settings = resolve(config)
    known = sweep_costs(settings, table)
    for index, option in enumerate(advice.options):
        answer = known.lookup(option.architecture)
        if isinstance(answer, Measurement | Failed):
            advice.learn(index, answer)
    deadline = time.monotonic() + 60 * arguments.minutes
    is_live = console.is_terminal and not arguments.plain
    with (
        TemporaryDirectory(prefix="archfront-") as folder,
        measuring_engine(config) as engine,
        described_bar(console, TimeElapsedColumn(), is_live=is_live) as bar,
    ):
        task = bar.add_task("", total=60 * arguments.minutes)
        sweep = LatencySweep(settings, known, engine, Path(folder))
        while (following := advice.next()) is not None and time.monotonic() < deadline:
            option = advice.options[following]
            name = _name(option)
            bar.update(
                task,
                completed=60 * arguments.minutes - (deadline - time.monotonic()),
                description=f"{name}   {len(advice.front())} on the front, "
                f"{len(advice.candidates())} could be",
            )
            found = sweep.measure(option.architecture)
            advice.learn(following, found)
            if not is_live:
                print_lines(console, [f"{name}: {_describe(found)}"])


def _describe(answer: Measurement | Failed) -> str:
    if isinstance(answer, Failed):
        return f"failed, {answer}".splitlines()[0][:160]
    return f"{answer.latency.p50_ms:.4g} ms"


def _name(option: Option) -> str:
    return f"{option.backbone.name}.{option.published.tag}@{option.published.input_size}"


def _row(advice: Advice, index: int) -> dict[str, Any]:
    option, measured = advice.options[index], advice.answers[index]
    assert isinstance(measured, Measurement)
    return {
        "backbone": option.backbone.name,
        "tag": option.published.tag,
        "input_size": option.published.input_size,
        "published_top1": option.published.top1,
        "latency_ms": measured.latency.p50_ms,
        "p95_ms": measured.latency.p95_ms,
        "params_m": measured.params_m,
        "macs_g": measured.macs_g,
        "size_mb": measured.size_mb,
        "memory_mb": measured.memory_mb,
        "licence": option.licence,
        "is_stable": measured.latency.is_stable,
    }


def _print(console: Console, advice: Advice, field: Field, config: Config, seconds: float) -> None:
    hardware = config.hardware
    title = (
        f"Expected front: published ImageNet-1k top-1 against p50 of {hardware.runtime} "
        f"{hardware.precision}, threads {hardware.threads}, batch {hardware.batch_size}"
    )
    columns = [
        Column("backbone", kind="name"),
        Column("weights", 4, "name"),
        Column("px", 1),
        Column("top-1 %"),
        Column("p50 ms"),
        Column("p95 ms", 6),
        Column("params M", 2),
        Column("MACs G", 5),
        Column("file MB", 5),
        Column("license", 3, "name"),
    ]
    table = FittedTable(title, columns)
    for index in advice.front():
        row = _row(advice, index)
        figures = ("latency_ms", "p95_ms", "params_m", "macs_g", "size_mb")
        table.add_row(
            row["backbone"],
            row["tag"],
            str(row["input_size"]),
            f"{row['published_top1']:.2f}",
            *(f"{row[name]:.3g}" for name in figures),
            row["licence"],
        )
    if advice.front():
        print_table(console, table)
    else:
        console.print("Nothing that was measured is within the limits.")
    print_lines(console, _caveats(advice, field, config, seconds))


def _caveats(advice: Advice, field: Field, config: Config, seconds: float) -> list[str]:
    """Return lines on what was measured and on what stays unknown."""
    measured = [a for a in advice.answers.values() if isinstance(a, Measurement)]
    failed = len(advice.answers) - len(measured)
    left = len(advice.candidates())
    lines = [
        "",
        f"{count_of(len(field.options), 'published network')}, {len(measured)} measured on this "
        f"device, {failed} could not be, in {duration(seconds)}.",
        "What this does not know:",
        "- how these networks rank on your images: the accuracies are ImageNet's, of networks "
        "trained there; archfront run finds out.",
        "- what they give at other input sizes than the published ones, and with other heads.",
    ]
    if field.unpublished:
        some = ", ".join(field.unpublished[:3])
        having = ("backbone of the space that has", "backbones of the space that have")
        backbones = count_of(len(field.unpublished), *having)
        lines.append(f"- the accuracy of {backbones} no published one, such as {some}.")
    lines += [
        f"- {count_of(count, 'was', 'were')} not looked at: {why}."
        for why, count in field.left_out.items()
    ]
    if left:
        lines.append(
            f"- whether {count_of(left, 'other belongs', 'others belong')} to the front: the time "
            "is over. The same command goes on; --minutes gives more time."
        )
    elif advice.has_model:
        lines.append(
            "- for certain, that no other network belongs here: of fifty networks that were left "
            "out by their predicted latency, one may be faster than predicted."
        )
    unstable = sum(not a.latency.is_stable for a in measured)
    if unstable:
        doubtful = count_of(unstable, "latency", "latencies")
        taken = "it was" if unstable == 1 else "they were"
        lines.append(f"- {doubtful} exactly: something interfered while {taken} taken.")
    lines.append(f"Latencies are remembered in {latency_table(config).name}.")
    return lines


def _draw(advice: Advice, config: Config, path: Path) -> None:
    from archfront.search.report.advise_figure import advice_figure
    from archfront.search.report.page_figure import to_html

    title = f"Expected front on {config.hardware.runtime}"
    path.expanduser().write_text(to_html(advice_figure(advice, title)), encoding="utf-8")
