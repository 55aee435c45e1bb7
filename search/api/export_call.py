"""An export asked for by keywords, as the command asks for it by flags."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TypedDict, Unpack

from archfront.search.api.keywords import Names, check_options, names_of
from archfront.search.commands.consoles import new_console, print_lines
from archfront.search.commands.export import ExportOptions, export_to
from archfront.search.errors import ArtifactError
from archfront.search.results.results import Results
from archfront.trainers.files import plain_path
from archfront.trainers.words import count_of

# It opens without torch, and every candidate can go to it.
FORMAT = "onnx"


class ExportKeywords(TypedDict, total=False):
    """Keywords of an export, with the meaning and default of the command's flags.

    Attributes:
        proxy: Whether the weights of the search are exported, not refitted ones.
        batch: Images at a time; the study's when None.
        dynamic_batch: Whether any number of images is taken at a time.
        normalize_inside: Whether the graph takes uint8 pixels.
        max_loss: Share of its metric that an int8 format may lose before it is marked.
        calibration: Training images for int8.
        no_latency: Whether the files are left unmeasured.
        overwrite: Whether an export that is there is replaced.
    """

    proxy: bool
    batch: int | None
    dynamic_batch: bool
    normalize_inside: bool
    max_loss: float
    calibration: int
    no_latency: bool
    overwrite: bool


def check_export(member: str | int, format: Names, keywords: ExportKeywords) -> ExportOptions:
    """Return the options of an export.

    Raises:
        TypeError: For a keyword that an export does not take, with the nearest one.
        ConfigError: With everything that is wrong with the values.
    """
    known = (*ExportKeywords.__annotations__, "member", "format", "quiet")
    for name in keywords:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f". Did you mean {near[0]!r}?" if near else ""
            raise TypeError(f"export() got an unexpected keyword argument {name!r}{hint}")
    options = ExportOptions(member=str(member), format=names_of(format), **keywords)
    check_options(options)
    return options


def export(
    results: Results,
    out: str | Path,
    *,
    member: str | int,
    format: Names,
    quiet: bool,
    **keywords: Unpack[ExportKeywords],
) -> Path:
    """Write a member as files to deploy, as ``archfront export`` does, and return the folder.

    Args:
        results: The study.
        out: A new folder, or an empty one.
        member: ``knee``, ``fastest``, ``best``, a trial or the id of a candidate.
        format: One or several formats.
        quiet: Whether nothing is printed.
        keywords: As ``ExportKeywords`` says.

    Raises:
        ArtifactError: If a format could not be made; the folder holds the others.
    """
    console = new_console(quiet=quiet)
    options = check_export(member, format, keywords)
    folder = plain_path(out)
    manifest = export_to(results, options, folder, lambda line: print_lines(console, [line]))
    if manifest.failed:
        reasons = " ".join(f"{name}: {reason}" for name, reason in manifest.failed.items())
        n_made, n_all = len(manifest.artifacts), len(manifest.artifacts) + len(manifest.failed)
        raise ArtifactError(f"{n_made} of {count_of(n_all, 'format')} in {folder}. {reasons}")
    return folder
