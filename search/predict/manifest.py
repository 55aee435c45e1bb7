"""``manifest.json``: everything an export says of itself, and whether its files are those.

It is plain JSON, so that nothing in it can run. Every file is known by its SHA-256, which is
compared before the file is opened. A signature tells whether this user made it (``signature.py``).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from archfront.search.errors import ArtifactError, unknown
from archfront.search.predict.signature import SIGNATURE, is_signed_here, signed
from archfront.search.records.codec import decode
from archfront.search.records.difference import difference_note
from archfront.trainers.data.preprocess import Preprocess
from archfront.trainers.files import plain_path, read_text, write_whole
from archfront.trainers.tasks import TASKS
from archfront.trainers.words import quoted, shortened

MANIFEST = "manifest.json"
SCHEMA = "archfront-export/1"
# Folders above a model file in which its manifest may lie: mlflow/export/onnx/model.onnx.
N_ABOVE = 3
# Of a manifest with 100,000 classes in each of eight formats.
MANIFEST_MB = 16
# Openers whose files are a graph and its weights. The files of the others are programs: what
# opens one does what its author wants.
PLAIN_OPENERS = ("onnx", "openvino")


@dataclass(frozen=True)
class Input:
    """The input of a network.

    Attributes:
        name: Of the input.
        dtype: ``float32`` for normalized values; ``uint8`` where the graph normalizes them.
        batch: Images at a time; None for any number.
        shape: Channels, height, width.
    """

    name: str
    dtype: str
    batch: int | None
    shape: tuple[int, int, int]


@dataclass(frozen=True)
class Artifact:
    """One exported format of a model.

    Attributes:
        format: Key of ``search.export.FORMATS``.
        opener: Key of ``search.predict.openers.OPENERS``.
        input: What the network takes.
        file: What is opened, relative to the manifest.
        files: SHA-256 of every file by its path relative to the manifest.
        precision: Numeric precision.
        runtime: The library that it was scored and measured in, with its version.
        size_mb: Of all files, in 10^6 bytes.
        parity: Largest difference from eager PyTorch on validation images, in units of the
            outputs' spread over them.
        metrics: On the validation split, in this runtime.
        lost: Share of the study's metric that it lost against the checkpoint; below 0 for a gain.
        latency: As ``search.records.evaluation.Latency``; None where it was not measured.
        marks: What is wrong with it, in words; empty where it may be shipped.
    """

    format: str
    opener: str
    input: Input
    file: str
    files: Mapping[str, str]
    precision: str
    runtime: str
    size_mb: float
    parity: float
    metrics: Mapping[str, float]
    lost: float
    latency: Mapping[str, Any] | None = None
    marks: tuple[str, ...] = ()

    @property
    def remarks(self) -> tuple[str, ...]:
        """Return the marks, and a note on outputs that differ by several spreads."""
        note = difference_note(self.parity)
        return (*self.marks, note) if note else self.marks


@dataclass(frozen=True)
class Manifest:
    """An export: one model in one or more formats.

    Attributes:
        study: Name of the study.
        trial: Number of the trial.
        candidate_id: Hash of what was trained.
        candidate: What was trained.
        task: Key of ``trainers.tasks.TASKS``.
        class_names: By label.
        preprocess: How an image becomes the input.
        output_names: What it gives, in its order.
        decode: What the outputs are, in words.
        thresholds: From which score on something counts.
        metric: The metric that the study maximized.
        metrics: Of the checkpoint on the validation split, in PyTorch.
        weights: Where they come from: ``proxy`` or ``refit``, with seed, epochs and hash.
        data: Fingerprint of the dataset and how it was split.
        licence: Of the backbone's first weights, in words.
        versions: Of the libraries that made it.
        created: UTC, such as ``2026-01-31T12:00:00Z``.
        artifacts: By format.
        failed: Why a format could not be made, by format.
    """

    study: str
    trial: int
    candidate_id: str
    candidate: Mapping[str, Any]
    task: str
    class_names: tuple[str, ...]
    preprocess: Preprocess
    output_names: tuple[str, ...]
    decode: str
    thresholds: Mapping[str, float]
    metric: str
    metrics: Mapping[str, float]
    weights: Mapping[str, Any]
    data: Mapping[str, Any]
    licence: str
    versions: Mapping[str, str]
    created: str
    artifacts: Mapping[str, Artifact] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON content; ``from_dict`` gives the equal manifest back."""
        return {"schema": SCHEMA, **asdict(self), "preprocess": self.preprocess.as_dict()}

    @classmethod
    def from_dict(cls, content: Any) -> Manifest:
        """Return the manifest whose ``as_dict`` this is, after JSON.

        Raises:
            ArtifactError: If it is the manifest of something else, or of another version.
        """
        if not isinstance(content, dict) or content.get("schema") != SCHEMA:
            raise ArtifactError(f"it is no manifest of {SCHEMA}")
        beside = ("schema", SIGNATURE)
        rest = {name: value for name, value in content.items() if name not in beside}
        lacking = [f.name for f in fields(cls) if f.name not in rest]
        if lacking:
            raise ArtifactError(f"it has no {', '.join(lacking)}")
        try:
            whole = decode(cls, rest)
        except ValueError as error:
            raise ArtifactError(f"its content does not fit ({error})") from error
        if whole.task not in TASKS:
            raise ArtifactError(f"its task {quoted(whole.task)} is not known here")
        if not whole.class_names:
            raise ArtifactError("it has no class")
        return whole


def write_manifest(manifest: Manifest, folder: Path) -> Path:
    """Write ``manifest.json`` whole or not at all, signed, and return its path."""
    target = folder / MANIFEST
    content = signed(json.loads(json.dumps(manifest.as_dict(), allow_nan=False)))
    write_whole(target, json.dumps(content, indent=2, allow_nan=False) + "\n")
    return target


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest in a folder.

    Raises:
        ArtifactError: If it is not there, or is none.
    """
    return read_with_origin(folder)[0]


def read_with_origin(folder: Path) -> tuple[Manifest, bool]:
    """Return the manifest in a folder, and whether this user signed it.

    Raises:
        ArtifactError: If it is not there, or is none.
    """
    file = folder / MANIFEST
    try:
        content = json.loads(read_text(file, MANIFEST_MB))
        return Manifest.from_dict(content), is_signed_here(content)
    except OSError as error:
        raise ArtifactError(f"{file} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError, ArtifactError) as error:
        reason = shortened(" ".join(str(error).split()), 500)
        raise ArtifactError(
            f"{file} cannot be used: {reason}. Give a folder that 'archfront export' wrote."
        ) from error


class Found(NamedTuple):
    """What a path stands for.

    Attributes:
        folder: That of the manifest.
        manifest: Of the export.
        artifact: One of its formats.
        is_made_here: Whether this user signed the manifest.
    """

    folder: Path
    manifest: Manifest
    artifact: Artifact
    is_made_here: bool


def find_artifact(path: Path, format_name: str | None = None) -> Found:
    """Return the artifact that a path stands for, with its manifest.

    Args:
        path: The folder of an export, the folder of one of its formats, or a file in it.
        format_name: Which format, where the path leaves that open. When None, the first without
            marks, ONNX and OpenVINO before the others; of an export that was made elsewhere, any
            of those two before the others.

    Raises:
        ArtifactError: If there is no such artifact.
        ConfigError: If the export has no such format.
    """
    path = plain_path(path)
    if not path.exists():
        raise ArtifactError(f"There is no {path}. Give a folder that 'archfront export' wrote.")
    folder = next((f for f in (path, *path.parents[:N_ABOVE]) if (f / MANIFEST).exists()), None)
    if folder is None:
        raise ArtifactError(
            f"{path} has no {MANIFEST} beside or above it, so it is not known what it was made "
            "for or whether it is intact. Give a folder that 'archfront export' wrote."
        )
    manifest, is_made_here = read_with_origin(folder)
    inside = path.relative_to(folder).as_posix()
    named = [
        name
        for name, artifact in manifest.artifacts.items()
        if inside != "." and any(PurePosixPath(f).is_relative_to(inside) for f in artifact.files)
    ]
    if inside != "." and not named:
        raise ArtifactError(
            f"{path} is no artifact of {folder / MANIFEST}, which has "
            f"{', '.join(manifest.artifacts) or 'none'}."
        )
    if format_name is not None:
        if format_name in manifest.failed:
            raise ArtifactError(
                f"{format_name} could not be made when {folder} was exported: "
                f"{manifest.failed[format_name]}"
            )
        if format_name not in manifest.artifacts:
            raise unknown("format of this export", format_name, manifest.artifacts)
        return Found(folder, manifest, manifest.artifacts[format_name], is_made_here)
    names = named or list(manifest.artifacts)
    if not names:
        raise ArtifactError(f"{folder / MANIFEST} has no artifact: every format failed.")

    def preference(artifact: Artifact) -> tuple[bool, bool, bool]:
        is_program = artifact.opener not in PLAIN_OPENERS
        return is_program and not is_made_here, bool(artifact.marks), is_program

    chosen = min((manifest.artifacts[name] for name in names), key=preference)
    return Found(folder, manifest, chosen, is_made_here)


def check_files(folder: Path, artifact: Artifact) -> None:
    """See that every file of an artifact is the one that was exported, and that there is no other.

    A library may read more than the file that it is given: weights beside a graph, an adapter in
    a folder.

    Raises:
        ArtifactError: If one is missing, changed, lies elsewhere, or is not in the manifest.
    """
    for name in (*artifact.files, artifact.file):
        _check_place(folder, name)
    for name, digest in artifact.files.items():
        file = folder / name
        if not file.is_file():
            raise ArtifactError(f"{file} is missing. Export the model again.")
        found = sha256_of(file)
        if found != digest:
            raise ArtifactError(
                f"{file} is not the file that was exported: its SHA-256 is {found[:12]}…, the "
                f"manifest says {str(digest)[:12]}…. It was damaged or exchanged; export the "
                "model again."
            )
    if artifact.file not in artifact.files and not (folder / artifact.file).is_dir():
        raise ArtifactError(f"The manifest has no checksum of {artifact.file}.")
    opened = folder / artifact.file
    beside = opened if opened.is_dir() else opened.parent
    for path in sorted(beside.rglob("*")):
        is_known = path.relative_to(folder).as_posix() in artifact.files
        if not is_known and (path.is_symlink() or not path.is_dir()):
            raise ArtifactError(
                f"{path} is not in {folder / MANIFEST}: nobody exported it, and what opens the "
                "model might read it. Remove it."
            )


def _check_place(folder: Path, name: str) -> None:
    """Raise an ArtifactError for a file of a manifest that lies outside of its folder."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise ArtifactError(f"The manifest names {name}, which is outside of {folder}.")
    # A link that leads to itself stays where it is.
    place, inside = (Path(os.path.realpath(path)) for path in (folder / name, folder))
    if not place.is_relative_to(inside):
        raise ArtifactError(f"{folder / name} is a link to {place}, which is outside of {folder}.")


def sha256_of(path: Path) -> str:
    """Return the hash of a file's content in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hashed(folder: Path, below: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below a place, by its path relative to a folder."""
    files = sorted(path for path in below.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in files}
