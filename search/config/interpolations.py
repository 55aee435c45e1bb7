"""How much the ``${...}`` of a configuration stand for, before OmegaConf writes them out."""

from __future__ import annotations

import re
from typing import Any

from archfront.search.errors import ConfigError

# Characters and values; the shipped configurations have some thousand.
MAX_SIZE = 1_000_000
# What a resolver may give, as oc.env: it is not asked.
RESOLVED = 1000
REFERENCE = re.compile(r"\$\{([^${}]*)\}")
Place = tuple[str, ...]


def check_references(content: Any) -> None:
    """Raise a ConfigError for content that is too large when its references are written out."""
    if resolved_size(content) > MAX_SIZE:
        raise ConfigError(
            "The yaml files do not compose: what their ${...} stand for has more than "
            f"{MAX_SIZE:,} characters."
        )


def not_composed(error: Exception, option: str) -> ConfigError:
    """Return the error for what OmegaConf does not resolve.

    Args:
        error: OmegaConf's.
        option: Where it stands; empty where that is not known.
    """
    reason = (str(error) or str(error.__cause__)).splitlines()[0]
    where = f"{option}: " if option else ""
    unset = re.search(r"Environment variable '(\w+)' not found", reason)
    if unset is None:
        return ConfigError(f"{where}the yaml files do not compose: {reason}.")
    return ConfigError(
        f"{where}the environment variable {unset[1]} is not set. Set it, or give {option}=VALUE."
    )


def resolved_size(content: Any) -> int:
    """Return about how many characters and values content has when its references are written out.

    References may refer to references, so that a few lines can stand for gigabytes. One that
    leads to itself counts nothing, and is an error of OmegaConf.

    Raises:
        RecursionError: If references lead to references too many times.
    """
    sizes: dict[Place, int] = {}

    def size(place: Place) -> int:
        if place not in sizes:
            sizes[place] = 0
            sizes[place] = of(_found(content, place), place)
        return sizes[place]

    def of(value: Any, place: Place) -> int:
        if isinstance(value, dict):
            return 1 + sum(size((*place, str(key))) for key in value)
        if isinstance(value, list):
            return 1 + sum(size((*place, str(index))) for index in range(len(value)))
        if not isinstance(value, str):
            return 1
        targets = REFERENCE.findall(value)
        return len(value) + sum(
            RESOLVED if ":" in target else size(_target(target, place)) for target in targets
        )

    return size(())


def _target(reference: str, place: Place) -> Place:
    """Return the place that a reference names; dots in front go up from where it stands."""
    path = reference.strip().lstrip(".")
    n_up = len(reference.strip()) - len(path)
    parts = tuple(part for part in re.split(r"[.\[\]]", path) if part)
    return (*place[: max(0, len(place) - n_up)], *parts) if n_up else parts


def _found(content: Any, place: Place) -> Any:
    for part in place:
        if isinstance(content, dict):
            content = next((v for k, v in content.items() if str(k) == part), None)
        elif isinstance(content, list) and part.isdecimal() and int(part) < len(content):
            content = content[int(part)]
        else:
            return None
    return content
