"""The profile of a study's data, kept beside its records when the study ends."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from archfront.search.config.schema import Config
from archfront.search.prepare.data_reference import data_ref, profile_cache
from archfront.search.prepare.profiled_space import with_space
from archfront.search.profile.dataset_profile import DatasetProfile
from archfront.search.profile.profile_cache import profile_of
from archfront.trainers.files import write_whole

logger = logging.getLogger(__name__)

# Seconds of processor time after which a profile that is not known yet is given up. Nothing of it
# happens before the end of a study, so that no member of the front is later.
MOST_S = 10.0


class _TooSlowError(Exception):
    """The images are too many to be looked at by the way."""


def study_profile(config: Config, *, most_s: float = MOST_S) -> DatasetProfile | None:
    """Return the profile of a study's data if it is remembered, or quickly made; else None.

    Args:
        config: The study.
        most_s: Seconds of processor time that it may take.

    Raises:
        DataError: If the data cannot be read any more.
    """
    until = time.process_time() + most_s

    def stop(done: int, total: int) -> None:
        if time.process_time() > until and done < total:
            raise _TooSlowError

    ref, task, title = data_ref(config), config.task.name, config.data.title
    try:
        profile = profile_of(ref, task, title, profile_cache(config), stop)
    except _TooSlowError:
        logger.info("The data is too large for a profile by the way: archfront profile makes it.")
        return None
    return with_space(profile, config)


def keep_profile(config: Config, file: Path) -> None:
    """Write the profile of a study's data into a file, where it is known or quickly made."""
    profile = study_profile(config)
    if profile is not None:
        write_whole(file, profile.as_json() + "\n")
