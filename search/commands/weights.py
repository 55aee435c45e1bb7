"""``archfront weights``: the pretrained weights of a search space, fetched."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from archfront.search.commands.consoles import echo, new_console
from archfront.search.commands.flags import add_composition
from archfront.search.commands.run import config_of
from archfront.trainers.words import count_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``archfront weights`` takes."""
    parser.add_argument("action", choices=["fetch"], help="download what the space lacks")
    add_composition(parser)


def call(arguments: argparse.Namespace) -> int:
    """Fetch the pretrained weights of a space and return the exit status."""
    words = [*arguments.words]
    if not any(word.startswith(("data.root=", "data=", "experiment=")) for word in words):
        words.append("data=shapes")  # which weights there are does not depend on the data
    config = config_of(words, config_dirs=arguments.config_dir)
    from archfront.search.prepare.select_backbones import select
    from archfront.trainers.networks.hf.names import is_hub
    from archfront.trainers.networks.hub_files import is_published

    # The configuration of a repository that was never fetched is not known before.
    names = [name for name in config.space.backbones if is_hub(name)]
    others = tuple(name for name in config.space.backbones if not is_hub(name))
    if others:
        names += [row.name for row in select(replace(config.space, backbones=others))]
    published = [name for name in names if is_published(name)]
    echo(count_of(len(names), "backbone"))
    if len(published) < len(names):
        left = [name for name in names if name not in published]
        echo(f"nobody publishes weights for {len(left)} of them: {', '.join(left)}")
    _fetch(published or names)
    return 0


def _fetch(names: Sequence[str]) -> None:
    """Fetch weights, with a bar of every file in a terminal and a line when it is there."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    from archfront.trainers.networks.weights import fetch

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    console = new_console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("weights", total=None)

        def meter(name: str, mb: float, of_mb: float) -> None:
            bar.update(task, description=name, completed=mb * 1e6, total=of_mb * 1e6)

        def said(name: str, path: Path) -> None:
            echo(f"{name}: {path}")

        fetch(names, on_fetched=said, meter=meter)
