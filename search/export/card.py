"""The model card and the note on licenses, in Markdown."""

from __future__ import annotations

from archfront.search.config.schema import Config
from archfront.search.config.settings import plan_of
from archfront.search.export.rendering import render
from archfront.search.predict.manifest import Manifest
from archfront.search.records.evaluation import Evaluation, Trained
from archfront.trainers.data.preprocess import Resize
from archfront.trainers.spec import Weights

RESIZED: dict[Resize, str] = {
    "squash": "the whole image is resized to the square, whatever its aspect ratio",
    "crop": "the central square of the image is resized",
    "pad": "the image keeps its aspect ratio, its longer side becomes that of the square and it "
    "lies at the upper left; the rest is gray (114)",
}


def model_card(manifest: Manifest, evaluation: Evaluation, config: Config) -> str:
    """Return the card of an exported model."""
    candidate, outcome = evaluation.candidate, evaluation.outcome
    return render(
        "card.md.j2",
        manifest=manifest,
        metric=manifest.metric,
        other_metrics={n: v for n, v in manifest.metrics.items() if n != manifest.metric},
        is_proxy=manifest.weights["kind"] == "proxy",
        outcome=outcome if isinstance(outcome, Trained) else None,
        tiling=manifest.preprocess.tiling,
        resized=RESIZED[manifest.preprocess.resize],
        candidate=candidate,
        network=candidate.architecture,
        recipe=candidate.recipe,
        first_weights=_first_weights(candidate.weights),
        measurement=evaluation.measurement,
        training=config.task,
        schedule=plan_of(config).schedule,
    )


def _first_weights(weights: Weights) -> str:
    """Return what a candidate was trained from, such as ``those of a folder (in1k)``."""
    words = {"none": "none", "pretrained": "pretrained", "folder": "those of a folder"}
    return words[weights.source] + (f" ({weights.tag})" if weights.tag else "")


def licence_note(manifest: Manifest) -> str:
    """Return the note on licenses."""
    return render("licences.md.j2", manifest=manifest)
