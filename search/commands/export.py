"""``archfront export``: a member of the front as files to deploy."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from archfront.search.commands.consoles import echo
from archfront.search.commands.flags import Problems, check_flags, not_counts
from archfront.search.commands.study_text import add_study, names_in, results_of
from archfront.trainers.words import count_of

if TYPE_CHECKING:
    from archfront.search.formats.formats import Format
    from archfront.search.front.members import FrontMember
    from archfront.search.predict.manifest import Manifest
    from archfront.search.records.evaluation import Evaluation
    from archfront.search.results.results import Results

TEXT = """\
Every format is written, compared with PyTorch, scored on the validation split and measured again
in its own runtime. A file that loses more of its metric than --max-loss is marked, and is not on
the final front of files in the report. The folder holds manifest.json with everything that is
known of the files, a model card, a note on licenses, and a short program for each format that runs
without archfront.

examples:
  archfront export flowers --member knee --out knee
  archfront export flowers --member best --out best --format onnx,onnx-int8,openvino --proxy
  archfront predict knee photo.jpg
"""


@dataclass(frozen=True)
class ExportOptions:
    """What is asked of an export; each is a flag of the command of the same name.

    Attributes:
        member: As ``search.results.refit_results.member_of`` takes it.
        format: Names of formats.
        proxy: Whether the weights of the search are exported, not refitted ones.
        batch: Images at a time; the study's when None.
        dynamic_batch: Whether any number of images is taken at a time.
        normalize_inside: Whether the graph takes uint8 pixels.
        max_loss: Share of its metric that a reduced format may lose before it is marked.
        calibration: Training images for int8.
        no_latency: Whether the files are left unmeasured.
        overwrite: Whether an export that is there is replaced.
    """

    member: str = "knee"
    format: tuple[str, ...] = ("onnx",)
    proxy: bool = False
    batch: int | None = None
    dynamic_batch: bool = False
    normalize_inside: bool = False
    max_loss: float = 0.02
    calibration: int = 128
    no_latency: bool = False
    overwrite: bool = False

    def problems(self) -> Problems:
        """Return what is wrong with the values, by option."""
        problems: Problems = {}
        if not 0 <= self.max_loss <= 1:
            problems["max_loss"] = f"a share from 0 to 1 is needed; got {self.max_loss:g}."
        problems |= not_counts({"calibration": self.calibration, "batch": self.batch})
        if self.dynamic_batch and self.batch is not None:
            problems["dynamic_batch"] = f"any number of images is not {self.batch}. Give one."
        if not self.format:
            problems["format"] = "at least one format is needed."
        return problems


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``archfront export`` takes."""
    from archfront.search.formats.formats import FORMATS

    parser.epilog = TEXT
    add_study(parser)
    default = ExportOptions()
    parser.add_argument(
        "--member",
        default=default.member,
        help="knee, fastest, best, a trial or an id (default: %(default)s)",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder")
    parser.add_argument(
        "--format",
        default=",".join(default.format),
        metavar="A,B",
        help=f"of {', '.join(FORMATS)} (default: %(default)s)",
    )
    parser.add_argument(
        "--proxy", action="store_true", help="the weights of the search, not refitted ones"
    )
    batch = parser.add_mutually_exclusive_group()
    batch.add_argument(
        "--batch", type=int, metavar="N", help="images at a time (default: the study's)"
    )
    batch.add_argument(
        "--dynamic-batch", action="store_true", help="any number of images at a time"
    )
    parser.add_argument(
        "--normalize-inside", action="store_true", help="the graph takes uint8 pixels"
    )
    parser.add_argument(
        "--max-loss",
        type=float,
        default=default.max_loss,
        metavar="SHARE",
        help="share of its metric that int8 may lose (default: %(default)s)",
    )
    parser.add_argument(
        "--calibration",
        type=int,
        default=default.calibration,
        metavar="N",
        help="training images for int8 (default: %(default)s)",
    )
    parser.add_argument("--no-latency", action="store_true", help="do not measure it again")
    parser.add_argument("--overwrite", action="store_true", help="replace an export that is there")


def call(arguments: argparse.Namespace) -> int:
    """Export, print what came of it, and return 1 where a format could not be made."""
    options = ExportOptions(
        member=arguments.member,
        format=tuple(names_in(arguments.format)),
        proxy=arguments.proxy,
        batch=arguments.batch,
        dynamic_batch=arguments.dynamic_batch,
        normalize_inside=arguments.normalize_inside,
        max_loss=arguments.max_loss,
        calibration=arguments.calibration,
        no_latency=arguments.no_latency,
        overwrite=arguments.overwrite,
    )
    check_flags(options.problems())
    from archfront.search.formats.formats import formats_named

    formats_named(list(options.format))  # an unknown one is named before the study is read
    results = results_of(arguments)
    manifest = export_to(results, options, arguments.out, lambda line: echo(line))
    return 1 if manifest.failed else 0


def export_to(
    results: Results, options: ExportOptions, folder: Path, on_line: Callable[[str], None]
) -> Manifest:
    """Export a member into a folder, record that in its study, and write the report again.

    Args:
        results: The study.
        options: What is asked for, without problems.
        folder: Where to; it must not be there, or be empty.
        on_line: Takes each line for people: what is exported, every format, the final front.

    Returns:
        What the folder holds; ``failed`` says which formats could not be made.
    """
    from archfront.search.export.export_request import ExportRequest
    from archfront.search.export.ship import export_member
    from archfront.search.formats.formats import formats_named
    from archfront.search.formats.source import Graph
    from archfront.search.prepare.recorded import study_of
    from archfront.search.report import pages
    from archfront.search.results.baselines import warnings
    from archfront.search.results.refit_results import member_of

    formats = formats_named(list(options.format))
    study = study_of(results.header)
    member = member_of(results, options.member, is_proxy=options.proxy)
    batch = options.batch or study.config.hardware.batch_size
    request = ExportRequest(
        formats=tuple(formats),
        graph=Graph(
            None if options.dynamic_batch else batch,
            options.normalize_inside,
            options.calibration,
        ),
        max_loss=options.max_loss,
        is_timed=not options.no_latency,
        replaces=options.overwrite,
    )
    on_line(
        f"trial {member.evaluation.trial}: {member.evaluation.candidate.label}, "
        f"{member.origin['kind']} weights"
    )
    chosen = [m for m in results.front() if m.trial == member.evaluation.trial]
    for line in warnings(chosen):
        on_line(line)
    manifest = export_member(study, member, request, folder, on_line)
    for entry in formats:
        for line in others(results.front(), entry, member.evaluation):
            on_line(line)
    on_line(f"{len(manifest.artifacts)} of {count_of(len(formats), 'format')} in {folder}")
    for sentence in _record(results, manifest, folder):
        on_line(sentence)
    pages.write(results, lambda lacking: on_line(str(lacking)))
    on_line(f"report    {results.paths.report}")
    return manifest


def others(members: Sequence[FrontMember], entry: Format, refused: Evaluation) -> list[str]:
    """Return which members of the front a format takes, where it refuses the exported one."""
    if entry.refuses(refused.candidate.architecture) is None:
        return []
    taken = [
        f"{member.trial} ({member.candidate.label})"
        for member in members
        if entry.refuses(member.candidate.architecture) is None
    ]
    if not taken:
        return [f"{entry.name} takes no member of this front"]
    return [f"{entry.name} takes these members, as --member TRIAL: {', '.join(taken)}"]


def _record(results: Results, manifest: Manifest, folder: Path) -> list[str]:
    """Record an export in its study and return sentences on its weights and the final front."""
    from archfront.search.records import export_records
    from archfront.search.results.export_results import exports_of, summary
    from archfront.search.results.refit_results import summary as refit_summary

    export_records.add(results.paths, exports_of(manifest, folder))
    found = summary(results, refit_summary(results))
    assert found is not None
    warning = manifest.weights.get("warning")
    return [*([f"warning: {warning}"] if warning else []), *found.sentences]
