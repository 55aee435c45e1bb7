"""The configuration and image shape that ``latency measure`` and ``advise`` are asked for."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from archfront.search.config import compose
from archfront.search.config.build import build
from archfront.search.config.schema import Config
from archfront.search.errors import ConfigError

# Those of ImageNet, where no data is named.
CLASSES, CHANNELS = 1000, 3
# The dataset of a configuration whose data is never read; it fits every task.
ANY_DATA = "data=shapes"


def composed_config(words: Sequence[str], db: Path | str | None) -> Config:
    """Return the configuration that words ask for, which need not name any data.

    Args:
        words: As for ``archfront run``.
        db: Table of latencies instead of the configured one, or a URL of PostgreSQL.
    """
    named = list(words) if _names_data(words) else [*words, ANY_DATA]
    composed = compose.compose(named)
    if isinstance(db, Path):
        composed.content["tracking"] |= {"device_db": str(db), "latency_url": None}
    elif db is not None:
        composed.content["tracking"]["latency_url"] = db
    return build(composed.content, texts=composed.texts)


def image_shape(arguments: argparse.Namespace, config: Config) -> tuple[int, int]:
    """Return the classes and channels asked for, else those of the data, else ImageNet's.

    Args:
        arguments: With ``words``, ``classes`` and ``channels``.
        config: What the words ask for.
    """
    classes, channels = arguments.classes, arguments.channels
    if not _names_data(arguments.words):
        return classes or CLASSES, channels or CHANNELS
    if classes is not None and channels is not None:
        raise ConfigError("--classes and --channels take the place of the data: give no data=.")
    from archfront.search.prepare.data_reference import data_ref
    from archfront.trainers.data import load

    dataset = load(data_ref(config), None)
    return classes or len(dataset.class_names), channels or dataset.channels


def _names_data(words: Sequence[str]) -> bool:
    return any(word.startswith(("data=", "data.", "experiment=")) for word in words)
