"""Members of a front as versions of a registered model in MLflow, under the names people use."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from archfront.search.errors import StudyError
from archfront.search.predict.manifest import Manifest
from archfront.search.records.paths import StudyPaths
from archfront.search.records.storage_urls import hide_password
from archfront.search.tracking.mlflow_client import keys_of
from archfront.search.tracking.tracker import TRIAL_TAG, Tracker

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

# Below a trial's run, where its model lies.
ARTIFACT = "model"
CANDIDATE, WEIGHTS = "archfront.candidate_id", "archfront.weights_sha256"
# MLflow's own message for a model that is there already.
EXISTS = "RESOURCE_ALREADY_EXISTS"


class Registry:
    """The versions of one registered model.

    Args:
        paths: The study's files.
        uri: MLflow's store; that of the root when None.
        experiment: MLflow experiment of the study.
        name: Of the registered model.

    Raises:
        StudyError: If MLflow's store cannot be opened, or refuses the name.
    """

    def __init__(self, paths: StudyPaths, uri: str | None, experiment: str, name: str) -> None:
        self._tracker = Tracker(paths, uri, experiment)
        self._client, self.name = self._tracker.client, name
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(
                name, description=f"The front of the archfront study {paths.study}."
            )
        except MlflowException as error:
            if error.error_code != EXISTS:
                raise StudyError(
                    f"MLflow does not take {name!r} as the name of a model: "
                    f"{str(error).splitlines()[0]} Give another one with --name."
                ) from error

    @property
    def uri(self) -> str:
        """Return where MLflow keeps it, without a password."""
        return hide_password(self._tracker.uri)

    def add(self, manifest: Manifest, folder: Path, study_id: str) -> int:
        """Make a version of an export and return it; ``version_of`` tells whether there is one.

        Args:
            manifest: Of the export.
            folder: What MLflow's pyfunc loads.
            study_id: Id of the study, by which its runs are found.
        """
        run = self._tracker.run_of(study_id, manifest.trial)
        place = f"{ARTIFACT}-{str(manifest.weights['sha256'])[:12]}"
        self._client.log_artifacts(run.info.run_id, str(folder), place)
        made = self._client.create_model_version(
            self.name,
            source=f"{run.info.artifact_uri}/{place}",
            run_id=run.info.run_id,
            tags=tags_of(manifest),
            description=f"Trial {manifest.trial} of {manifest.study}: "
            f"{manifest.candidate['architecture']['backbone']}, {manifest.weights['kind']} "
            "weights.",
        )
        return int(made.version)

    def name_versions(self, aliases: dict[str, int]) -> None:
        """Let names stand for versions, whatever they stood for before.

        Whoever serves by a name gets one version or the other, never none.
        """
        for alias, version in aliases.items():
            self._client.set_registered_model_alias(self.name, alias, str(version))

    def named(self) -> dict[str, int]:
        """Return the version that each name stands for."""
        found = self._client.get_registered_model(self.name).aliases
        return {alias: int(version) for alias, version in found.items()}

    def version_of(self, candidate_id: str, weights: str) -> int | None:
        """Return the version of a candidate with these weights; None where there is none.

        Args:
            candidate_id: What was trained.
            weights: SHA-256 of its weights.
        """
        versions: list[ModelVersion] = []
        token: str | None = None
        while True:
            page = self._client.search_model_versions(f"name = '{self.name}'", page_token=token)
            versions += page
            token = page.token
            if not token:
                break
        wanted = candidate_id, weights
        same = [
            int(version.version)
            for version in versions
            if (version.tags.get(CANDIDATE), version.tags.get(WEIGHTS)) == wanted
        ]
        return max(same, default=None)


def tags_of(manifest: Manifest) -> dict[str, str]:
    """Return what is known of an export as MLflow's tags, which are texts."""
    artifact = manifest.artifacts["mlflow"]
    tags: dict[str, Any] = {
        "archfront.study": manifest.study,
        TRIAL_TAG: manifest.trial,
        CANDIDATE: manifest.candidate_id,
        WEIGHTS: manifest.weights["sha256"],
        "archfront.weights": manifest.weights["kind"],
        "archfront.task": manifest.task,
        "archfront.classes": ", ".join(manifest.class_names)[:500],
        "size_mb": f"{artifact.size_mb:.3f}",
        "parity": f"{artifact.parity:.2e}",
    }
    tags |= {f"val_{name}": f"{value:.6g}" for name, value in artifact.metrics.items()}
    tested = manifest.weights.get("test_metrics", {})
    tags |= {f"test_{name}": f"{value:.6g}" for name, value in tested.items()}
    if artifact.latency is not None:
        for name in ("p50_ms", "p95_ms", "device", "threads", "batch_size"):
            tags[f"latency_{name}"] = artifact.latency[name]
    keys = keys_of(tags)
    return {keys[name]: str(value) for name, value in tags.items()}
