"""Configurations as they are composed, from shipped files and a user's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from archfront.search.config.build import build
from archfront.search.config.compose import Composed, compose
from archfront.search.config.schema import Config
from archfront.search.errors import ConfigError


def built(composed: Composed) -> Config:
    """Return the configuration that was composed."""
    return build(composed.content, texts=composed.texts)


def own(folder: Path, text: str | bytes, group: str = "data", name: str = "mine") -> Path:
    """Write a yaml file of a user's and return its configuration folder."""
    path = folder / group / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def refused(*words: str, config_dirs: tuple[Path, ...] = ()) -> tuple[str, ...]:
    """Return the problems of words that do not compose."""
    with pytest.raises(ConfigError, match=r"\S") as caught:
        compose(words, config_dirs=config_dirs)
    return caught.value.problems
