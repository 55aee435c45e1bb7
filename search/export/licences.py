"""What is known of the licenses of a backbone and of its first weights."""

from __future__ import annotations

from archfront.search.catalog import catalog
from archfront.search.export.rendering import render
from archfront.trainers.networks.hf.names import is_hub, licence_of
from archfront.trainers.spec import Weights


def licence_text(backbone: str, weights: Weights) -> str:
    """Return a sentence on the license of a backbone's first weights."""
    return render(
        "licence.txt.j2",
        is_pretrained=weights.source != "none",
        source=weights.source,
        tag=weights.tag or "",
        backbone=backbone,
        licence=_licence(backbone, weights.tag) if weights.source != "none" else "",
        library="transformers" if is_hub(backbone) else "timm",
    )


def _licence(backbone: str, tag: str | None) -> str:
    """Return the license of pretrained weights; ``unknown`` where the library gives none."""
    if is_hub(backbone):
        return licence_of(backbone) or "unknown"
    row = catalog().get(backbone)
    found = "?" if row is None else row.licence(tag)
    return "unknown" if found == "?" else found
