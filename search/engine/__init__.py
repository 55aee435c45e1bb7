"""Engines, which run jobs: in this process, in persistent workers, or on a cluster's nodes.

``ENGINES`` is imported when it is first used: a worker needs none of the engines.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from archfront.search.engine.engines import ENGINES

__all__ = ["ENGINES"]


def __getattr__(name: str) -> Any:
    """Import the table of engines."""
    if name != "ENGINES":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"{__name__}.engines").ENGINES
