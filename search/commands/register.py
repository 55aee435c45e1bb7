"""``archfront register``: members of a front as versions of a model in MLflow."""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from archfront.search.commands.consoles import echo
from archfront.search.commands.study_text import add_study, names_in, results_of, runs_uri
from archfront.search.errors import StudyError

if TYPE_CHECKING:
    from archfront.search.predict.manifest import Manifest
    from archfront.search.results.results import Results
    from archfront.search.results.select_members import Member
    from archfront.search.tracking.registry import Registry

TEXT = """\
Each member is exported to ONNX, scored and measured, and becomes a version of one registered
model, with signature, input example, and metrics and latency as tags. The same weights are not
registered twice, and a file that loses too much of its metric is not registered. When all versions
are there, the aliases knee, fastest and best are set to the members that they mean now; after an
interruption the aliases stay as they were, and the same command goes on.

examples:
  archfront register flowers
  archfront register flowers --name flowers-phone --members knee,fastest --proxy
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``archfront register`` takes."""
    parser.epilog = TEXT
    add_study(parser)
    parser.add_argument("--name", help="name of the registered model (default: that of the study)")
    parser.add_argument(
        "--members", default="all", metavar="A,B", help="as for refit (default: all of the front)"
    )
    parser.add_argument(
        "--proxy", action="store_true", help="the weights of the search, not refitted ones"
    )
    parser.add_argument("--mlflow-uri", help="MLflow's store, if it is not in the root")


def call(arguments: argparse.Namespace) -> int:
    """Register, print the versions, and return 1 where a member could not be exported."""
    from archfront.search.export.export_request import ExportRequest
    from archfront.search.export.ship import export_member
    from archfront.search.formats.formats import formats_named
    from archfront.search.formats.source import Graph
    from archfront.search.prepare.recorded import study_of
    from archfront.search.results.refit_results import member_of
    from archfront.search.results.select_members import chosen_trials
    from archfront.search.tracking.registry import Registry

    results = results_of(arguments)
    study = study_of(results.header)
    stored = results.begun().mlflow_uri
    uri = runs_uri(stored, arguments.mlflow_uri, arguments.storage_url)
    if stored is not None and uri is None:
        raise StudyError(
            f"The study {arguments.study!r} keeps its runs in {stored}. Give --mlflow-uri."
        )
    trials = chosen_trials(results, names_in(arguments.members))
    # Before anything is made, so that a name or a store that is refused costs nothing.
    members = [member_of(results, str(trial), is_proxy=arguments.proxy) for trial in trials]
    name = arguments.name or arguments.study
    experiment = study.config.tracking.experiment
    registry = Registry(results.paths, uri, experiment, name)
    request = ExportRequest(
        tuple(formats_named(["mlflow"])), Graph(study.config.hardware.batch_size)
    )
    versions: dict[int, int] = {}
    for member in members:
        trial, evaluation = member.evaluation.trial, member.evaluation
        found = _version(registry, member)
        word = "" if found is None else " (was there)"
        if found is None:
            with TemporaryDirectory(prefix="archfront-") as temporary:
                folder = Path(temporary) / "export"
                manifest = export_member(study, member, request, folder)
                reason = _refused(manifest)
                if reason is not None:
                    echo(f"trial {trial} not registered: {reason}")
                    continue
                found = registry.add(manifest, folder / "mlflow", study.header.id)
        versions[trial] = found
        echo(
            f"trial {trial}: version {found} of {name}{word}, {evaluation.candidate.label}, "
            f"{member.origin['kind']} weights"
        )
    _name(registry, results, versions, is_proxy=arguments.proxy)
    echo(f"MLflow    {registry.uri}")
    return 0 if len(versions) == len(members) else 1


def _version(registry: Registry, member: Member) -> int | None:
    """Return the version of a member with its weights; None where there is none."""
    from archfront.search.predict.manifest import sha256_of

    return registry.version_of(member.evaluation.candidate.id, sha256_of(member.weights))


def _refused(manifest: Manifest) -> str | None:
    """Return why an export becomes no version; None where it does."""
    artifact = manifest.artifacts.get("mlflow")
    if artifact is None:
        return " ".join(manifest.failed.values())
    return "; ".join(artifact.marks) or None


def _name(
    registry: Registry, results: Results, versions: dict[int, int], *, is_proxy: bool
) -> None:
    """Set the aliases of the front to its versions, when all of them are there.

    A member that was registered before keeps its alias though it was not asked for now. An alias
    whose member has no version stays where it is, and a line says so.
    """
    from archfront.search.results.refit_results import member_of
    from archfront.search.results.select_members import aliases

    now, wanted = registry.named(), aliases(results.front())
    for trial in set(wanted.values()) - set(versions):
        try:
            member = member_of(results, str(trial), is_proxy=is_proxy)
        except StudyError:  # it has no such weights, so no version of them
            continue
        found = _version(registry, member)
        if found is not None:
            versions = {**versions, trial: found}
    named = {alias: versions[trial] for alias, trial in wanted.items() if trial in versions}
    registry.name_versions(named)
    for alias, version in named.items():
        echo(f"models:/{registry.name}@{alias} is version {version}")
    for alias, trial in wanted.items():
        if alias not in named and alias in now:
            echo(
                f"models:/{registry.name}@{alias} stays version {now[alias]}: trial {trial}, "
                "which is that now, has no version of the weights asked for"
            )
