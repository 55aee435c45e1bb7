"""``archfront run``: a study started, or gone on with."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from archfront.search.commands.consoles import echo, print_note, wide_console
from archfront.search.commands.flags import add_composition, collecting, flag_problems
from archfront.search.commands.watch import add_server
from archfront.search.config import compose
from archfront.search.config.build import build, completed
from archfront.search.config.compose import GROUPS, choices
from archfront.search.config.schema import Config
from archfront.search.errors import ConfigError

# Columns of a table that is not shown in a terminal.
WIDTH = 140
# Exit status by the state of a study that did not come to its end; 130 is what a shell gives for a
# command ended by Ctrl-C.
ENDS: dict[str, int] = {"interrupted": 130, "stopped": 1}
# Exit status by the front: whoever scripts studies can tell one that ships from one that does not.
FRONT: dict[str, int] = {"full": 0, "provisional": 3, "empty": 4}
TEXT = """\
Start a study, or go on with the one of the same name where it stopped.

words are group=name (another yaml file of a group) or group.option=value:
"""
EXAMPLES = """\
examples:
  archfront run data.root='~/my flowers' hardware.limits.latency_ms=20 budget.minutes=30 \\
      study=flowers
  archfront run study=flowers data.root='~/my flowers' hardware.limits.latency_ms=20 \\
      budget.minutes=60                     # the same study, 30 minutes more
  archfront run data.root=photos space.backbones='resnet*,convnext*' --dry-run
  archfront run experiment=digits --cfg job # the composed configuration
  archfront run study=flowers data.root=/data/flowers --server https://host:8000

The exit status is 0 where a member of the front was trained in full, 3 where the front is
provisional (its members were trained less), 4 where it is empty, 1 where the study could not
begin or stopped before its end (no data, a full disk, nothing that could be trained), 2 where a
word cannot be used, and 130 after Ctrl-C. With --server it is that of archfront watch: 0 where
the study finished.

All options with their meaning: docs/options.md, or --cfg job.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``archfront run`` takes."""
    files = (f"  {group}={'|'.join(_names(group))}\n" for group in GROUPS)
    parser.description = TEXT + "".join(files)
    parser.epilog = EXAMPLES
    add_composition(parser)
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="a composed configuration, as study.yaml"
    )
    parser.add_argument("--cfg", choices=["job"], help="print the composed configuration and end")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="the data, and size, time and disk of the study; trains nothing",
    )
    parser.add_argument("--json", action="store_true", help="with --dry-run: as JSON")
    parser.add_argument("--plain", action="store_true", help="plain lines, no live view")
    parser.add_argument("--verbose", action="store_true", help="log what happens inside")
    add_server(parser)
    parser.add_argument(
        "--detach", action="store_true", help="with --server: do not follow the study"
    )


def _names(group: str) -> list[str]:
    """Return the names that a group takes, the one without a file first."""
    return (["auto"] if group == "data" else []) + choices(group)


def call(arguments: argparse.Namespace) -> int:
    """Run a study, or print what it would be, and return the exit status."""
    if arguments.server is not None:
        from archfront.search.commands.remote_run import run_on_server

        return run_on_server(arguments)
    flags = [flag for flag in ("token_file", "detach") if getattr(arguments, flag)]
    problems = flag_problems(dict.fromkeys(flags, "it goes with --server."))
    if arguments.json and not arguments.dry_run:
        problems.append(
            "--json: a study is printed as JSON with --dry-run before it runs, and with "
            "archfront front NAME --json and archfront show NAME --json after it."
        )
    with collecting(problems):
        config = config_of(
            arguments.words,
            config_dirs=arguments.config_dir,
            config_file=arguments.config,
            tell=print_note,
        )
    if problems:
        raise ConfigError(*problems)
    if arguments.cfg:
        import yaml

        echo(yaml.safe_dump(config.as_dict(), sort_keys=False), end="")
        return 0
    if arguments.dry_run:
        _print_estimate(config, as_json=arguments.json)
        return 0
    from archfront.search.commands.launch import launch
    from archfront.search.engine.interrupts import terminate_like_interrupt

    terminate_like_interrupt()
    result = launch(config, wide_console(WIDTH), is_plain=arguments.plain)
    return ENDS.get(result.state) or FRONT[result.front or "full"]


def _print_estimate(config: Config, *, as_json: bool) -> None:
    """Print what a study would take, with a bar on standard error while that is found out."""
    from archfront.search.commands.consoles import stderr_progress
    from archfront.search.study.estimate import Estimate

    with stderr_progress() as progress:
        estimate = Estimate(config, progress)
        if as_json:
            echo(json.dumps(estimate.record(), indent=2))
            return
        for line in estimate.lines():
            echo(line)


def config_of(
    words: Iterable[str],
    *,
    config_dirs: Sequence[Path] = (),
    config_file: Path | None = None,
    tell: Callable[[str], None] | None = None,
) -> Config:
    """Return the configuration that words ask for.

    Args:
        words: ``group=name`` or ``group.option=value``.
        config_dirs: Folders of the user's own yaml files.
        config_file: A composed configuration, of which the words change values.
        tell: Takes what was chosen where nothing was given, a line each.

    Raises:
        ConfigError: With every problem that was found.
    """
    if config_file is not None and config_dirs:
        raise ConfigError("--config and --config-dir: a composed configuration has no groups.")
    if config_file is not None:
        composed = compose.load(config_file, words)
        content = completed(composed.content)
    else:
        composed = compose.compose(words, config_dirs=config_dirs)
        content = composed.content
    for note in composed.notes:
        (tell or (lambda _: None))(note)
    return build(content, texts=composed.texts)
