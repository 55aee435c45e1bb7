"""What an export is asked for, and whether it can be done at all."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from archfront.search.errors import ArtifactError, ConfigError
from archfront.search.formats.formats import Format
from archfront.search.formats.source import ONE_BY_ONE, Graph
from archfront.search.predict.manifest import MANIFEST, read_manifest
from archfront.search.results.select_members import Member


@dataclass(frozen=True)
class ExportRequest:
    """What an export is asked for.

    Attributes:
        formats: The formats to write.
        graph: How the exported graphs are made.
        max_loss: Share of the metric that a format of reduced precision may lose unmarked.
        is_timed: Whether the latency of the artifacts is measured.
        replaces: Whether an export that is already in the folder is removed.
    """

    formats: tuple[Format, ...]
    graph: Graph = field(default_factory=Graph)
    max_loss: float = 0.02
    is_timed: bool = True
    replaces: bool = False


def check_batch(member: Member, graph: Graph) -> None:
    """Raise a ConfigError if a dynamic batch is requested of a detector."""
    a = member.evaluation.candidate.architecture
    if graph.batch is None and a.task in ONE_BY_ONE:
        raise ConfigError(
            f"--dynamic-batch: the graph of {a.backbone} with head {a.head!r} chooses among the "
            "boxes of one image after the other, so that their number is part of it. Give it with "
            "--batch N."
        )


def check_folder(folder: Path, request: ExportRequest) -> None:
    """Raise an ArtifactError unless the folder may be written."""
    if folder.is_file():
        raise ArtifactError(f"{folder} is a file. Give a folder with --out.")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not (folder / MANIFEST).is_file():
        raise ArtifactError(f"{folder} holds other files. Give an empty or a new folder.")
    if not request.replaces:
        old = read_manifest(folder)
        raise ArtifactError(
            f"{folder} holds an export of trial {old.trial} of {old.study!r}. Give another "
            "folder, or --overwrite."
        )
