"""Few training images: which augmentation and which weight decay are tried."""

from __future__ import annotations

from archfront.search.config.schema import Config
from archfront.search.prepare.recipe_grids import VERY_FEW_IMAGES
from archfront.search.prepare.rules.facts import Facts
from archfront.search.prepare.rules.rule import Effect
from archfront.trainers.tasks import TASKS


def few_images(facts: Facts, config: Config) -> Effect | None:
    """Return more augmentation and more weight decay to try where there are few images.

    Of labels a training then takes seconds, so that the search can afford the choice; those of
    boxes and masks take minutes also then. A frozen backbone is no choice: it is the probe.
    """
    if facts.n_train > VERY_FEW_IMAGES or not TASKS[config.task.name].is_image_level:
        return None
    return Effect(
        f"{facts.n_train:,} training images are at most {VERY_FEW_IMAGES}",
        {
            "space.recipe.augment": ("light", "strong"),
            "space.recipe.weight_decay": (0.05, 0.2),
        },
    )
