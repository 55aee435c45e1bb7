"""``archfront catalog``: every timm architecture and what is known of it before training."""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from archfront.search.catalog import PATH, catalog, near, timm_version
from archfront.search.catalog.backbones import Backbone
from archfront.search.catalog.hub import hub_rows
from archfront.search.catalog.view import (
    SORTS,
    Filter,
    chosen,
    detail_lines,
    details,
    in_order,
    record,
)
from archfront.search.commands.consoles import (
    echo,
    new_console,
    print_lines,
    print_table,
    wide_console,
)
from archfront.search.commands.flags import SWITCH, Flag, add_flags, given, misplaced
from archfront.search.errors import ConfigError
from archfront.search.records.paths import default_root
from archfront.search.report.catalog_tables import costs_table, list_table, tags_table
from archfront.trainers.files import plain_path
from archfront.trainers.networks.hf.names import is_hub
from archfront.trainers.words import count_of

ACTIONS = {
    "list": "architectures by patterns and limits, as a table or records",
    "show": "everything that is known of one architecture",
    "space": "the size of a search space, and what it leaves out",
    "build": "make the catalog again from the installed timm, or add its receptive fields",
}
TEXT = """\
{actions}

examples:
  archfront catalog list 'convnext*' 'mobilenetv4*' --macs-g-max 2 --sort top1
  archfront catalog list --input-size 96 --params-m-max 5 --licence 'apache*' --csv
  archfront catalog list --family vision_transformer --json | head
  archfront catalog show repvit_m1_0
  archfront catalog show hf:microsoft/resnet-50
  archfront catalog space space=timm space.macs_g_max=1 space.families='resnet,mobilenet*'
  archfront catalog build --out catalog.csv --workers 2
  archfront catalog build --columns fields --macs-g-max 3

MACs, activations and top-1 come from building every network at several sizes and from timm's
published results; licenses and data are those of timm's default weights.
"""
WIDTH = 170  # columns of a table that is not shown in a terminal


# What can be added to a catalog that is there.
COLUMNS = ("fields",)
_NUMBER = {"type": float, "metavar": "X"}
_PATTERN = {"action": "append", "metavar": "PATTERN"}
FLAGS = {
    "--params-m-max": Flag(("list",), "at most X million parameters", _NUMBER),
    "--macs-g-max": Flag(
        ("list", "build"),
        "at most X billion MACs at the size shown; of a build those of the networks whose "
        "effective fields are measured (default: 1.5)",
        _NUMBER,
    ),
    "--family": Flag(("list",), "timm module, such as resnet; may be repeated", _PATTERN),
    "--licence": Flag(("list",), "license of timm's default weights; may be repeated", _PATTERN),
    "--input-size": Flag(
        ("list",),
        "only architectures that take this size, with their costs at it (default: at its own)",
        {"type": int, "metavar": "PX"},
    ),
    "--sort": Flag(("list",), f"{', '.join(SORTS)} (default: name)", {"metavar": "NAME"}),
    "--json": Flag(("list", "show", "space"), "as JSON", SWITCH),
    "--csv": Flag(("list",), "as comma-separated values", SWITCH),
    "--config-dir": Flag(
        ("space",),
        "folder with yaml files of your own",
        {"action": "append", "type": Path, "metavar": "DIR"},
    ),
    "--out": Flag(("build",), "file to write (default: the one in use)", {"type": Path}),
    "--columns": Flag(
        ("build",),
        "fields: only add receptive fields where they lack, and keep all else",
        {"choices": COLUMNS, "metavar": "NAME"},
    ),
    "--workers": Flag(("build",), "processes (default: 2)", {"type": int, "metavar": "N"}),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``archfront catalog`` takes."""
    lines = "\n".join(f"  {name:<6} {text}" for name, text in ACTIONS.items())
    parser.epilog = TEXT.format(actions=lines)
    parser.add_argument("action", choices=ACTIONS, metavar="ACTION", help="see below")
    parser.add_argument(
        "words",
        nargs="*",
        metavar="word",
        help="patterns to list; a name to show; group=name or option=value of a space",
    )
    add_flags(parser, FLAGS)


def call(arguments: argparse.Namespace) -> int:
    """Do the action that the arguments name and return the exit status."""
    problems = misplaced(arguments, "catalog", FLAGS)
    problems += [
        f"{name}: a number above 0 is needed; got {value:g}."
        for name in ("--params-m-max", "--macs-g-max", "--input-size", "--workers")
        if (value := given(arguments, name)) is not None and not value > 0
    ]
    if arguments.csv and arguments.json:
        problems.append("--csv and --json: only one of them.")
    if problems:
        raise ConfigError(*problems)
    return CALLS[arguments.action](arguments)


def _list(arguments: argparse.Namespace) -> int:
    hub = [word for word in arguments.words if is_hub(word)]
    if hub:
        raise ConfigError(
            f"archfront catalog list has the architectures of timm; got {', '.join(hub)}. One of "
            "transformers is shown by: archfront catalog show hf:OWNER/NAME or hf:./FOLDER."
        )
    wanted = Filter(
        patterns=tuple(arguments.words),
        families=tuple(arguments.family or ()),
        licences=tuple(arguments.licence or ()),
        input_size=arguments.input_size,
        params_m_max=arguments.params_m_max,
        macs_g_max=arguments.macs_g_max,
    )
    rows = [record(row, wanted.input_size) for row in chosen(wanted)]
    rows = in_order(rows, arguments.sort or "name")
    if arguments.json:
        echo(json.dumps(rows, indent=2))
    elif arguments.csv:
        writer = csv.DictWriter(sys.stdout, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    else:
        print_table(wide_console(WIDTH), list_table(rows))
    return 0


def _show(arguments: argparse.Namespace) -> int:
    if len(arguments.words) != 1:
        raise ConfigError("archfront catalog show needs one name, such as resnet18.")
    row = _row(arguments.words[0])
    if arguments.json:
        echo(json.dumps(details(row), indent=2))
        return 0
    console = wide_console(WIDTH)
    print_lines(console, [row.name, *detail_lines(row)])
    if row.is_built:
        print_table(console, costs_table(row))
    if row.tags:
        print_table(console, tags_table(row))
    return 0


def _row(word: str) -> Backbone:
    """Return the row of an architecture of timm, whose tag may follow, or of transformers."""
    if is_hub(word):
        return hub_rows([word], default_root() / "cache" / "hub.json")[0]
    name = word.partition(".")[0]
    row = catalog().get(name)
    if row is None:
        raise ConfigError(
            f"No timm architecture is called {name!r}{near(name, list(catalog()))}. The catalog "
            f"has {len(catalog())} of timm {timm_version()}; archfront catalog list shows them."
        )
    return row


def _space(arguments: argparse.Namespace) -> int:
    from archfront.search.commands.run import config_of
    from archfront.search.prepare.build_space import build_space
    from archfront.search.prepare.fit_space import fit_space
    from archfront.search.prepare.select_backbones import selection
    from archfront.search.space.size import lines
    from archfront.trainers.spec import Weights

    words = [*arguments.words]
    if not any(word.startswith(("data.root=", "data=", "experiment=")) for word in words):
        words.append("data=shapes")  # which candidates there are does not depend on the data
    config = config_of(words, config_dirs=arguments.config_dir or ())
    selected = selection(config.space, Path(config.tracking.root))
    fitted = fit_space(config.space, config.task.name)
    space = build_space(
        fitted.config,
        selected.backbones,
        {row.name: Weights() for row in selected.backbones},
        task=config.task.name,
        classes=CLASSES,
        channels=config.data.channels or 3,
    )
    summary = space.summary()
    if arguments.json:
        both = {**selected.left_out, **summary.left_out}
        echo(json.dumps({**asdict(summary), "left_out": both}, indent=2))
        return 0
    print_lines(wide_console(WIDTH), [*lines(summary, selected.left_out), *fitted.notes])
    if config.space.weights != "none":
        echo("weights   not looked for here; archfront run --dry-run does")
    return 0


def _build(arguments: argparse.Namespace) -> int:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    from archfront.search.catalog.build_catalog import FIELDS_MACS_G, add_fields, build

    if arguments.words:
        raise ConfigError(f"archfront catalog build takes no words; got {arguments.words[0]!r}.")
    path = plain_path(arguments.out or PATH)
    if not os.access(path.parent, os.W_OK):  # said before a quarter of an hour is spent, not after
        raise ConfigError(f"--out: {path.parent} is not a folder that can be written to.")
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=new_console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        workers = arguments.workers or 2
        if arguments.columns is None:
            build(path, workers=workers, progress=show)
        most = arguments.macs_g_max or FIELDS_MACS_G
        rows = add_fields(path, macs_g_max=most, workers=workers, progress=show)
    n_rows = count_of(len(rows), "architecture")
    echo(f"{n_rows} in {path}, {sum(bool(r.problem) for r in rows)} with gaps")
    return 0


def _cell(value: Any) -> Any:
    return ";".join(map(str, value)) if isinstance(value, list) else value


# What the shipped counts were made with.
CLASSES = 1000
CALLS = {"list": _list, "show": _show, "space": _space, "build": _build}
