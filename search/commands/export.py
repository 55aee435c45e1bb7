"""``archfront export``: a member of the front as files that are deployed."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from archfront.search.commands.study_text import add_study, names_in, results_of
from archfront.search.errors import ConfigError
from archfront.trainers.words import count_of

if TYPE_CHECKING:
    from archfront.search.predict.manifest import Manifest
    from archfront.search.results.results import Results

TEXT = """\
Every format is written, compared with PyTorch, scored on the validation split and measured again
in its own runtime. One that loses more of its metric than --max-loss is marked, and is not on the
final front of files that the report shows. The folder holds manifest.json with everything that is
known, a model card, a note on licences, and a short program for each format that runs without
archfront.

examples:
  archfront export flowers --member knee --out knee
  archfront export flowers --member best --out best --format onnx,onnx-int8,openvino --proxy
  archfront predict knee photo.jpg
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``archfront export`` takes."""
    from archfront.search.formats.formats import FORMATS

    parser.epilog = TEXT
    add_study(parser)
    parser.add_argument(
        "--member", default="knee", help="knee, fastest, best, a trial or an id (default: knee)"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder")
    parser.add_argument(
        "--format", default="onnx", metavar="A,B", help=f"of {', '.join(FORMATS)} (default: onnx)"
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
        "--max-loss", type=float, default=0.02, metavar="SHARE", help="of int8 (default: 0.02)"
    )
    parser.add_argument(
        "--calibration", type=int, default=128, metavar="N", help="training images for int8"
    )
    parser.add_argument("--no-latency", action="store_true", help="do not measure it again")
    parser.add_argument("--overwrite", action="store_true", help="replace an export that is there")


def call(arguments: argparse.Namespace) -> int:
    """Export, tell what came of it, and return 1 where a format could not be made."""
    _check(arguments)
    from archfront.search.export.export_request import ExportRequest
    from archfront.search.export.ship import export_member
    from archfront.search.formats.formats import formats_named
    from archfront.search.formats.source import Graph
    from archfront.search.prepare.recorded import study_of
    from archfront.search.results.refit_results import member_of

    formats = formats_named(names_in(arguments.format))
    results = results_of(arguments)
    study = study_of(results.header)
    member = member_of(results, arguments.member, is_proxy=arguments.proxy)
    batch = (
        None if arguments.dynamic_batch else arguments.batch or study.config.hardware.batch_size
    )
    order = ExportRequest(
        formats=tuple(formats),
        graph=Graph(batch, arguments.normalize_inside, arguments.calibration),
        max_loss=arguments.max_loss,
        is_timed=not arguments.no_latency,
        replaces=arguments.overwrite,
    )
    print(
        f"trial {member.evaluation.trial}: {member.evaluation.candidate.label}, "
        f"{member.origin['kind']} weights",
        flush=True,
    )
    manifest = export_member(
        study, member, order, arguments.out, lambda line: print(line, flush=True)
    )
    print(f"{len(manifest.artifacts)} of {count_of(len(formats), 'format')} in {arguments.out}")
    _record(results, manifest, arguments.out)
    return 1 if manifest.failed else 0


def _record(results: Results, manifest: Manifest, folder: Path) -> None:
    """Record an export in its study, say what the final front is now, and write the report."""
    from archfront.search.records import export_records
    from archfront.search.report import pages
    from archfront.search.results.export_results import exports_of, summary
    from archfront.search.results.refit_results import summary as refit_summary

    export_records.add(results.places, exports_of(manifest, folder))
    found = summary(results, refit_summary(results))
    assert found is not None
    for sentence in found.sentences:
        print(sentence)
    pages.write(results)
    print(f"report    {results.places.report}")


def _check(arguments: argparse.Namespace) -> None:
    problems = []
    if not 0 <= arguments.max_loss <= 1:
        problems.append(f"--max-loss: a share from 0 to 1 is needed; got {arguments.max_loss:g}.")
    if arguments.calibration < 1:
        problems.append(
            f"--calibration: a whole number of at least 1 is needed; got {arguments.calibration}."
        )
    if arguments.batch is not None and arguments.batch < 1:
        problems.append(f"--batch: a whole number of at least 1 is needed; got {arguments.batch}.")
    if not names_in(arguments.format):
        problems.append("--format: at least one format is needed.")
    if problems:
        raise ConfigError(*problems)
