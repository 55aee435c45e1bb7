"""Few validation images: the final front is judged on folds of all images."""

from __future__ import annotations

from archfront.search.config.schema import Config
from archfront.search.prepare.rules.facts import Facts
from archfront.search.prepare.rules.rule import Effect
from archfront.trainers.tasks import TASKS

# With fewer images the 95 % interval of an accuracy of 80 % is wider than 15 points.
FEW = 100
FOLDS = "budget.folds"  # the option that it sets
# Kohavi 1995 finds 5 folds nearly as good as the 10 that he recommends, at half the trainings.
N_FOLDS = 5


def folds(facts: Facts, config: Config) -> Effect | None:
    """Return folds of train and val where validation has few images with a label each.

    Of pixels and objects few images have many, and a fold would take minutes.
    """
    if facts.n_val is None or facts.n_val >= FEW or not TASKS[config.task.name].is_image_level:
        return None
    words = (
        f"the members of the final front are judged on all {facts.n_val + facts.n_train:,} "
        "images of train and val"
    )
    if facts.has_own_val and config.data.group is None:
        words += (
            ", which are divided anew, not as the data divides them; where the images of one "
            "patient or video have to stay together, give data.group=..., or budget.folds=0 for "
            "no folds"
        )
    return Effect(
        f"{facts.n_val:,} validation images are fewer than {FEW}",
        {FOLDS: N_FOLDS},
        "" if config.budget.folds == 0 else words,
    )
