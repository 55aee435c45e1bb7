"""A recorded study, which refit, export and reproduce take."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from archfront.search.config.build import build, completed
from archfront.search.config.hidden_urls import with_passwords, without_hidden
from archfront.search.config.schema import Config
from archfront.search.errors import ConfigError, StudyError
from archfront.search.prepare.data_reference import data_ref
from archfront.search.prepare.study_settings import StudySettings, resolve
from archfront.search.records.header import StudyHeader
from archfront.trainers.data import Dataset
from archfront.trainers.data.ref import DataRef
from archfront.trainers.spec import TrainSettings

# The consequence of other data than the study's, in words.
WORTHLESS = ", so that its metrics would say nothing"


@dataclass(frozen=True)
class Study:
    """A recorded study: its configuration and its header.

    Attributes:
        config: Its configuration.
        header: The header that was stored when it started.
    """

    config: Config
    header: StudyHeader

    @cached_property
    def data(self) -> DataRef:
        """Return the reference by which a worker loads the data."""
        return data_ref(self.config)

    @cached_property
    def settings(self) -> StudySettings:
        """Return the settings of the study's jobs, resolved once."""
        return resolve(self.config, self.header.dataset, self.header.trainings)

    @property
    def train_settings(self) -> TrainSettings:
        """Return the settings of a full training, in the precision that the study chose."""
        return replace(self.settings.train, precision=self.header.precision)


def study_of(header: StudyHeader | None) -> Study:
    """Return the recorded study of a header.

    Raises:
        StudyError: If it has no records yet.
        ConfigError: If its configuration is none of this version.
    """
    if header is None:
        raise StudyError("The study has no records yet.")
    try:
        content = without_hidden(with_passwords(completed(header.config)))
        return Study(build(content), header)
    except ConfigError as error:
        raise ConfigError(
            "The configuration of the study is not of this version of archfront:", *error.problems
        ) from error


def dataset_of(
    study: Study, *, change: str = "changed since it began", consequence: str = ""
) -> Dataset:
    """Return the data of a recorded study, read again.

    Args:
        study: The study.
        change: How the data differs, in words of the error.
        consequence: The consequence of this in words, like ``, so that ...``.

    Raises:
        StudyError: If the data is no longer the same.
        DataError: If it cannot be read.
    """
    from archfront.trainers.data import load

    dataset = load(study.data)
    before = study.header.dataset.fingerprint
    if dataset.fingerprint != before:
        raise StudyError(
            f"The dataset of the study {study.config.study!r} {change} (fingerprint {before}, now "
            f"{dataset.fingerprint}){consequence}. Restore it."
        )
    return dataset
