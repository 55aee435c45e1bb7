"""The check of a space for batches of one image, which batch norm cannot learn from."""

from __future__ import annotations

from archfront.search.errors import BuildError, ConfigError
from archfront.search.space.space import Space
from archfront.trainers.spec import Norms
from archfront.trainers.tasks.protocol import Task

N_SHOWN = 3


def check_single_images(space: Space, task: Task, *, n_train: int, norms: Norms) -> None:
    """Check that no network with batch norm is to be trained on batches of one image.

    Only where there are such batches, networks are built for it: one of each backbone and head.

    Args:
        space: The candidates.
        task: The task of the networks.
        n_train: Training images.
        norms: Whether the statistics of the backbones' batch norms are trained.

    Raises:
        ConfigError: If there is such a network.
    """
    recipes = [r for r in space.recipes if min(r.batch_size, n_train) == 1]
    if not recipes:
        return
    from archfront.trainers.training.single_images import needs_two_images

    freeze = all(recipe.freeze for recipe in recipes)
    kinds = {(a.backbone, a.neck, a.head): a for a in space.architectures}
    found: dict[str, None] = {}
    for architecture in kinds.values():
        try:
            if needs_two_images(task, architecture, freeze=freeze, norms=norms):
                found[architecture.backbone] = None
        except BuildError:  # the study will say why
            continue
        if len(found) > N_SHOWN:
            break
    if not found:
        return
    shown = ", ".join(list(found)[:N_SHOWN]) + (", ..." if len(found) > N_SHOWN else "")
    if n_train == 1:
        raise ConfigError(
            "There is 1 training image, but networks with batch norm learn from at least 2 at a "
            f"time: {shown}. Give more images, or choose space.backbones without batch norm, "
            "such as convnext_* or vit_*."
        )
    raise ConfigError(
        "space.recipe.batch_size=1: networks with batch norm learn from at least 2 images at a "
        f"time: {shown}. Allowed is 2 or more, or 1 with space.backbones without batch norm, such "
        "as convnext_* or vit_*."
    )
