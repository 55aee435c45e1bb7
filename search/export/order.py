"""What is asked of an export, of which study, and whether it can be done at all."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from search.config import Config, build, completed
from search.errors import ArtifactError, ConfigError, StudyError
from search.export.formats import Format
from search.export.members import Member
from search.export.source import ONE_BY_ONE, Graph
from search.predict.manifest import MANIFEST, read_manifest


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
