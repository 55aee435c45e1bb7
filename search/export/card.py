"""The model card and the note on licences, in Markdown."""

from __future__ import annotations

from archfront.search.config.schema import Config
from archfront.search.predict.manifest import Artifact, Manifest
from archfront.search.records.evaluation import Evaluation, Trained
from archfront.trainers.data.preprocess import Resize
from archfront.trainers.words import count_of

RESIZED: dict[Resize, str] = {
    "squash": "the whole image is resized to the square, whatever its shape",
    "crop": "the central square of the image is resized",
    "pad": "the image keeps its shape, its longer side becomes that of the square and it lies at "
    "the upper left; the rest is grey (114)",
}


def model_card(manifest: Manifest, evaluation: Evaluation, config: Config) -> str:
    """Return the card of an exported model."""
    a = evaluation.candidate.architecture
    parts = [
        f"# {a.backbone} for {manifest.task}: "
        + count_of(len(manifest.class_names), "class", "classes"),
        f"Found by archfront in the study `{manifest.study}` (trial {manifest.trial}, candidate "
        f"`{manifest.candidate_id}`). Everything below is also in `manifest.json`.",
        "## What it does",
        f"Classes: {', '.join(manifest.class_names)}.",
        f"Input: {a.input_size} x {a.input_size} px, {count_of(a.channels, 'channel')}; "
        f"{RESIZED[manifest.preprocess.resize]} ({manifest.preprocess.interpolation}, "
        f"antialiased). Values from 0 to 1 are normalized by mean {_numbers(manifest, 'mean')} "
        f"and deviation {_numbers(manifest, 'std')}.",
        f"Output: {manifest.decode}.",
        "## How good it is",
        _weights(manifest),
        f"On the validation split ({count_of(manifest.data['images']['val'], 'image')}, which the "
        "search chose by):",
        _artifacts(manifest),
        *_more(manifest, evaluation),
        "## How it was made",
        f"Network: {a.backbone} with head {a.top}, "
        f"{_params(evaluation)}; first weights: {evaluation.candidate.weights.source}.",
        f"Recipe: {_recipe(evaluation)}, loss {config.task.loss}, schedule "
        f"{config.task.schedule}, {count_of(manifest.weights['epochs'], 'epoch')}, seed "
        f"{manifest.weights['seed']}.",
        f"Data: fingerprint `{manifest.data['fingerprint']}`, {manifest.data['division']}: "
        + ", ".join(f"{n:,} {name}" for name, n in manifest.data["images"].items())
        + " images.",
        "## What to mind",
        "The metrics are of images like those of the dataset; of others they say nothing. "
        "Latencies are of the device that is named in the manifest by its id.",
        "## Use",
        "```\narchfront predict . image.jpg --json\n"
        + "\n".join(
            f"python predict_{name.replace('-', '_')}.py image.jpg" for name in manifest.artifacts
        )
        + "\n```",
        "Licences: see `LICENSES.md`.",
    ]
    return "\n\n".join(parts) + "\n"


def licence_note(manifest: Manifest) -> str:
    """Return the note on licences."""
    return (
        "# Licences\n\n"
        f"{manifest.licence}\n\n"
        "The images that it was trained on have licences of their own, which this export knows "
        "nothing of. This note is what the libraries say of themselves, not legal advice.\n"
    )


def _numbers(manifest: Manifest, name: str) -> str:
    return ", ".join(f"{value:.4g}" for value in getattr(manifest.preprocess, name))


def _weights(manifest: Manifest) -> str:
    if manifest.weights["kind"] == "proxy":
        return (
            "These are the weights of the search's short proxy training: good for a first look, "
            "not for production. `archfront refit` trains the network in full."
        )
    return "These are the weights of a full training (refit)."


def _artifacts(manifest: Manifest) -> str:
    head = (
        f"| format | precision | runtime | {manifest.metric} | parity | p50 ms | MB | |\n"
        "|---|---|---|---|---|---|---|---|"
    )
    checkpoint = f"| checkpoint | fp32 | torch | {manifest.metrics[manifest.metric]:.4f} | | | | |"
    rows = [_row(artifact, manifest.metric) for artifact in manifest.artifacts.values()]
    failed = [f"| {n} | | | | | | | not made: {r} |" for n, r in manifest.failed.items()]
    return "\n".join([head, checkpoint, *rows, *failed])


def _row(artifact: Artifact, metric: str) -> str:
    ms = "" if artifact.latency is None else f"{artifact.latency['p50_ms']:.3g}"
    marks = f"**marked**: {'; '.join(artifact.marks)}" if artifact.marks else ""
    return (
        f"| {artifact.format} | {artifact.precision} | {artifact.runtime} | "
        f"{artifact.metrics[metric]:.4f} | {artifact.parity:.1e} | {ms} | "
        f"{artifact.size_mb:.2f} | {marks} |"
    )


def _more(manifest: Manifest, evaluation: Evaluation) -> list[str]:
    """Return the interval and the other metrics."""
    others = {n: v for n, v in manifest.metrics.items() if n != manifest.metric}
    words = ", ".join(f"{name} {value:.4f}" for name, value in others.items())
    lines = [f"Other metrics of the checkpoint: {words}."] if words else []
    outcome = evaluation.outcome
    if manifest.weights["kind"] == "proxy" and isinstance(outcome, Trained):
        lines.append(
            f"Bootstrap interval of {manifest.metric} over the validation images (95 %): "
            f"{outcome.metric_low:.4f} to {outcome.metric_high:.4f}."
        )
    return lines


def _params(evaluation: Evaluation) -> str:
    if evaluation.measurement is None:
        return "unmeasured"
    return (
        f"{evaluation.measurement.params_m:.3g} million parameters, "
        f"{evaluation.measurement.macs_g:.3g} billion multiply-accumulates"
    )


def _recipe(evaluation: Evaluation) -> str:
    recipe = evaluation.candidate.recipe
    return (
        f"AdamW, peak learning rate {recipe.lr:g}, weight decay {recipe.weight_decay:g}, batch "
        f"{recipe.batch_size}, augmentation {recipe.augment}, dropout {recipe.dropout:g}"
    )
