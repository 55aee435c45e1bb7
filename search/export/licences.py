"""What is known of the licences of a backbone and of the weights that it began with."""

from __future__ import annotations

from archfront.search.catalog import catalog
from archfront.trainers.networks.hf.names import is_hub, licence_of
from archfront.trainers.spec import Weights

SCRATCH = (
    "Trained from random weights: no licence of pretrained weights applies. The code of the "
    "network is {library}'s (Apache-2.0)."
)
PRETRAINED = (
    "Fine-tuned from the {source} weights {tag} of {name}, whose licence is given as: {licence}. "
    "What was derived from them is subject to it. The code of the network is {library}'s "
    "(Apache-2.0)."
)


def licence_words(backbone: str, weights: Weights) -> str:
    """Return the licence of a backbone's first weights, in words."""
    library = "transformers" if is_hub(backbone) else "timm"
    if weights.source == "none":
        return SCRATCH.format(library=library)
    if is_hub(backbone):
        licence = licence_of(backbone) or "unknown"
    else:
        row = catalog().get(backbone)
        found = "?" if row is None else row.licence(weights.tag)
        licence = "unknown" if found == "?" else found
    return PRETRAINED.format(
        source=weights.source,
        tag=weights.tag or "",
        name=backbone,
        licence=licence,
        library=library,
    )
