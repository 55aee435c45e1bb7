"""What is asked of an export, of which study, and whether it can be done at all."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.config.schema import Config, build, completed
from search.errors import ArtifactError, ConfigError, StudyError
from search.formats.formats import Format
from search.formats.source import ONE_BY_ONE, Graph
from search.predict.manifest import MANIFEST, read_manifest
from search.prepare.prepare import data_ref
from search.results.select_members import Member

if TYPE_CHECKING:
    from trainers.data import Dataset

# What metrics of other data than the study's are worth.
WORTHLESS = ", so that its metrics would say nothing"


@dataclass(frozen=True)
class Order:
    """What is asked of an export.

    Attributes:
        formats: What is written.
        graph: How.
        max_loss: Share of its metric that a reduced format may lose before it is marked.
        is_timed: Whether the artifacts are measured.
        replaces: Whether an export that is there is removed.
    """

    formats: tuple[Format, ...]
    graph: Graph = field(default_factory=Graph)
    max_loss: float = 0.02
    is_timed: bool = True
    replaces: bool = False


@dataclass(frozen=True)
class Study:
    """What an export has to know of a study.

    Attributes:
        config: Its configuration.
        header: What was stored when it started.
    """

    config: Config
    header: dict[str, Any]


def check_batch(member: Member, graph: Graph) -> None:
    """Raise a ConfigError if any number of images is asked of a detector."""
    a = member.evaluation.candidate.architecture
    if graph.batch is None and a.task in ONE_BY_ONE:
        raise ConfigError(
            f"--dynamic-batch: the graph of {a.backbone} with head {a.head!r} chooses among the "
            "boxes of one image after the other, so that their number is part of it. Give it with "
            "--batch N."
        )


def check_folder(folder: Path, order: Order) -> None:
    """Raise an ArtifactError unless the folder may be written."""
    if folder.is_file():
        raise ArtifactError(f"{folder} is a file. Give a folder with --out.")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not (folder / MANIFEST).is_file():
        raise ArtifactError(f"{folder} holds other files. Give an empty or a new folder.")
    if not order.replaces:
        old = read_manifest(folder)
        raise ArtifactError(
            f"{folder} holds an export of trial {old.trial} of {old.study!r}. Give another "
            "folder, or --overwrite."
        )


def study_of(header: dict[str, Any]) -> Study:
    """Return a recorded study, by what was stored when it started.

    Raises:
        StudyError: If it has no records yet.
        ConfigError: If its configuration is none of this version.
    """
    if not header:
        raise StudyError("The study has no records yet.")
    try:
        return Study(build(completed(header["config"])), header)
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
        change: What is said of data that is no longer the same.
        consequence: What follows from that, as ``, so that ...``.

    Raises:
        StudyError: If it is no longer the same.
        DataError: If it cannot be read.
    """
    from trainers.data import load

    dataset = load(data_ref(study.config))
    before = study.header["dataset"]["fingerprint"]
    if dataset.fingerprint != before:
        raise StudyError(
            f"The dataset of the study {study.config.study!r} {change} (fingerprint {before}, now "
            f"{dataset.fingerprint}){consequence}. Restore it."
        )
    return dataset
