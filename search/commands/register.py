"""``archfront register``: members of a front as versions of a model in MLflow."""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

from search.commands.study_words import add_study, names_in, results_of
from search.errors import StudyError

TEXT = """\
Each member is exported to ONNX, scored and measured, and becomes a version of one registered
model, with signature, input example, and metrics and latency as tags. The names knee, fastest and
best stand for the versions they mean now. The same weights are not registered twice.

examples:
  archfront register flowers
  archfront register flowers --name flowers-phone --members knee,fastest --proxy
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``archfront register`` takes."""
    parser.epilog = TEXT
    add_study(parser)
    parser.add_argument("--name", help="of the registered model (default: the study's)")
    parser.add_argument(
        "--members", default="all", metavar="A,B", help="as for refit (default: all of the front)"
    )
    parser.add_argument(
        "--proxy", action="store_true", help="the weights of the search, not refitted ones"
    )
    parser.add_argument("--mlflow-uri", help="MLflow's store, if it is not in the root")


def call(arguments: argparse.Namespace) -> int:
    """Register, tell what was made, and return 1 where a member could not be exported."""
    from search.export.formats import formats_named
    from search.export.members import aliases, chosen_trials
    from search.export.order import Order, study_of
    from search.export.ship import export_member
    from search.export.source import Graph
    from search.refitted import member_of
    from search.registry import Registry

    results = results_of(arguments)
    study = study_of(results.header)
    stored = study.config.tracking.mlflow_uri
    if stored is not None and arguments.mlflow_uri is None:
        raise StudyError(
            f"The study {arguments.study!r} keeps its runs in {stored}. Give --mlflow-uri."
        )
    trials = chosen_trials(results, names_in(arguments.members))
    # Before anything is made, so that a name or a store that is refused costs nothing.
    members = [member_of(results, str(trial), is_proxy=arguments.proxy) for trial in trials]
    name = arguments.name or arguments.study
    experiment = study.config.tracking.experiment
    registry = Registry(results.places, arguments.mlflow_uri, experiment, name)
    order = Order(tuple(formats_named(["mlflow"])), Graph(study.config.hardware.batch_size))
    versions: dict[int, int] = {}
    for member in members:
        trial = member.evaluation.trial
        with TemporaryDirectory(prefix="archfront-") as temporary:
            folder = Path(temporary) / "export"
            manifest = export_member(study, member, order, folder)
            if "mlflow" not in manifest.artifacts:
                print(f"trial {trial} not registered: {' '.join(manifest.failed.values())}")
                continue
            versions[trial] = registry.add(manifest, folder / "mlflow", results.header["id"])
        print(
            f"trial {trial}: version {versions[trial]} of {name}, "
            f"{member.evaluation.candidate.label}, {member.origin['kind']} weights",
            flush=True,
        )
    named = {a: versions[t] for a, t in aliases(results.front()).items() if t in versions}
    registry.name_versions(named)
    for alias, version in named.items():
        print(f"models:/{name}@{alias} is version {version}")
    print(f"MLflow    {registry.uri}")
    return 0 if len(versions) == len(members) else 1
