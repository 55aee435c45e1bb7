"""The reference of the data that a configuration asks for, and where its profile is kept."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from archfront.search.config.option_types import AUTO
from archfront.search.config.schema import Config
from archfront.search.profile.profile_cache import ProfileCache
from archfront.trainers.data.ref import DataRef, Shapes
from archfront.trainers.tasks import TASKS


def data_ref(config: Config) -> DataRef:
    """Return the reference by which a worker loads the data."""
    options = asdict(config.data)
    options["palette"] = tuple(config.data.palette.items())
    options["shapes"] = Shapes(**options["shapes"])
    asked = config.data.value_range
    options["value_range"] = None if asked == AUTO else tuple(asked)
    shared = Path(config.tracking.device_db).with_name("images")
    return DataRef(
        **options,
        target=TASKS[config.task.name].target,
        shared=str(shared) if config.engine.shared_mb > 0 else None,
        shared_mb=config.engine.shared_mb,
    )


def profile_cache(config: Config) -> ProfileCache:
    """Return where profiles are remembered: beside the table of latencies."""
    return ProfileCache(Path(config.tracking.device_db).with_name("profiles"))
