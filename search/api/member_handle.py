"""A trained candidate of a study in a program or a notebook: its predictions and its export."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from archfront.search.api.export_call import FORMAT, ExportKeywords, export
from archfront.search.api.given_images import given_images, image_of_array
from archfront.search.api.keywords import Names, check_keywords, wrong_types
from archfront.search.commands.predict import answer_to, value_problems
from archfront.search.errors import ArtifactError, ConfigError, DataError
from archfront.search.records.evaluation import Trained
from archfront.search.results.results import Results
from archfront.search.results.select_members import evaluation_of

if TYPE_CHECKING:
    from archfront.search.results import select_members
    from archfront.trainers.data.image_files import PixelLimit
    from archfront.trainers.data.images import Pixels


# Raised where an export of the same weights says something else than before. Since 2 objects count
# from the score of the best F1, and not from 0.3.
REVISION = 2


class Member:
    """A trained candidate of a study.

    Attributes:
        trial: Number of its trial.
        candidate_id: Hash of what was trained.
        label: Backbone, input size and head, for people.
        metric: Of its short training, on the validation split.
        latency_ms: Median latency on the study's device.
    """

    def __init__(self, read: Callable[[], Results], trial: int, proxy: bool | None) -> None:
        """Look a trial up.

        Args:
            read: Gives the records of the study.
            trial: Number of a trained trial.
            proxy: Whether the weights of its short training are meant; None for those of its full
                training where there is one.
        """
        self._read, self._proxy, self.trial = read, proxy, trial
        results = read()
        evaluation = evaluation_of(results, trial)
        assert isinstance(evaluation.outcome, Trained)
        assert evaluation.measurement is not None
        self._study, self._metric = results.paths.study, results.objectives[0].name
        self.candidate_id = evaluation.candidate.id
        self.label = evaluation.candidate.label
        self.metric = evaluation.outcome.metric
        self.latency_ms = evaluation.measurement.latency.p50_ms

    def predict(self, images: Any, *, min_score: float | None = None, threads: int = 1) -> Any:
        """Return what the model says of images, as ``archfront predict --json`` says it.

        The first call exports the member to ONNX, into the study's folder; later ones open that.

        Args:
            images: One image: a path, a PIL image, or a uint8 array ``(H, W)`` or ``(H, W, C)`` of
                one to four channels. Or many: a list of these, an array ``(N, H, W, C)``, or the
                path of a folder.
            min_score: From which score on labels and objects count; the export's when None.
            threads: Of the runtime.

        Returns:
            The answer as a dictionary; for many images, a list of them.

        Raises:
            ArchfrontError: If an image cannot be read or the member cannot be exported.
        """
        from archfront.search.predict.predictor import open_predictor

        wrong = wrong_types(
            {"min_score": min_score, "threads": threads},
            {"min_score": float | None, "threads": int},
        )
        check_keywords(wrong or value_problems(min_score, threads))
        is_one, sources = given_images(images)
        folder = self._exported()
        with open_predictor(folder, FORMAT, threads=threads) as predictor:
            limit = predictor.manifest.preprocess.decoding
            read = (_pixels(source, limit) for source in sources)
            answers = [answer_to(predictor, pixels, min_score)[1] for pixels in read]
        return answers[0] if is_one else answers

    def export(
        self,
        out: str | Path,
        *,
        format: Names = FORMAT,
        quiet: bool = False,
        **keywords: Unpack[ExportKeywords],
    ) -> Path:
        """Write the member as files to deploy, and return the folder; as ``Study.export``."""
        return export(self._read(), out, member=self.trial, format=format, quiet=quiet, **keywords)

    def _exported(self) -> Path:
        """Return the folder of an export of these weights, made when there is none."""
        from archfront.search.export.export_request import ExportRequest
        from archfront.search.export.ship import export_member
        from archfront.search.formats.formats import formats_named
        from archfront.search.formats.source import Graph
        from archfront.search.predict.manifest import MANIFEST, sha256_of
        from archfront.search.prepare.recorded import study_of

        results = self._read()
        member = self._with_weights(results)
        digest = sha256_of(member.weights)[:12]
        place, name = results.paths.folder / "predictors", f"{self.trial:05d}-{digest}"
        folder = place / f"{name}-{REVISION}"
        if (folder / MANIFEST).is_file():
            return folder
        for earlier in (name, *(f"{name}-{n}" for n in range(REVISION))):
            shutil.rmtree(place / earlier, ignore_errors=True)
        study = study_of(results.header)
        graph = Graph(study.config.hardware.batch_size)
        request = ExportRequest(tuple(formats_named([FORMAT])), graph, is_timed=False)
        manifest = export_member(study, member, request, folder)
        if manifest.failed:
            shutil.rmtree(folder)
            raise ArtifactError(
                f"Trial {self.trial} of {self._study!r} cannot predict, since it cannot be "
                f"exported to {FORMAT}: {manifest.failed[FORMAT]}"
            )
        return folder

    def _with_weights(self, results: Results) -> select_members.Member:
        from archfront.search.results.refit_results import member_of, refits_of

        proxy = self._proxy
        if proxy is None:
            proxy = all(refit.trial != self.trial for refit in refits_of(results))
        return member_of(results, str(self.trial), is_proxy=proxy)

    def __repr__(self) -> str:
        """Return the member in one line."""
        return (
            f"<Member trial {self.trial} of {self._study!r}: {self.label}, {self._metric} "
            f"{self.metric:.4f}, {self.latency_ms:.3g} ms>"
        )

    def _repr_html_(self) -> str:
        """Return the member as a notebook shows it."""
        return (
            f"<b>Trial {self.trial} of {escape(self._study)}</b>: {escape(self.label)}, "
            f"{escape(self._metric)} {self.metric:.4f}, {self.latency_ms:.3g} ms"
        )


def _pixels(source: Any, limit: PixelLimit) -> Pixels:
    """Return the pixels of one image, uint8 ``(H, W, 1 or 3)``."""
    from PIL import Image

    from archfront.trainers.data.images import read_pixels, to_pixels

    if isinstance(source, str | Path):
        try:
            return read_pixels(Path(source).expanduser(), limit)
        except DataError as error:
            raise DataError(f"{source}: {error}") from error
    if isinstance(source, Image.Image):
        return to_pixels(source, limit.value_range)
    if not hasattr(source, "__array__"):
        raise _no_image(source)
    return to_pixels(image_of_array(source))


def _no_image(value: Any) -> ConfigError:
    return ConfigError(
        f"images: an image is a path, a PIL image or an array; got {type(value).__name__}."
    )
