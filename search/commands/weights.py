"""``archfront weights``: the pretrained weights of a search space, fetched."""

from __future__ import annotations

import argparse
from dataclasses import replace

from archfront.search.commands.run import add_composition, config_of
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
    from archfront.trainers.networks.weights import fetch

    # The configuration of a repository that was never fetched is not known before.
    names = [name for name in config.space.backbones if is_hub(name)]
    others = tuple(name for name in config.space.backbones if not is_hub(name))
    if others:
        names += [row.name for row in select(replace(config.space, backbones=others))]
    print(count_of(len(names), "backbone"))
    fetch(names, on_fetched=lambda name, path: print(f"{name}: {path}", flush=True))
    return 0
