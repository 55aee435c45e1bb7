"""What a recipe makes of classes of unequal size in its loss: weights of classes, or priors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from archfront.trainers.errors import ConfigError
from archfront.trainers.spec import PLAIN_LOSS, Recipe, TrainSettings

# Cui et al. 2019 (Class-balanced loss), section 5, try 0.9 to 0.9999. With this one a class of up
# to some hundred images counts in proportion, and from some thousand on more of them add nothing.
BETA = 0.999


def with_loss(settings: TrainSettings, recipe: Recipe) -> TrainSettings:
    """Return the settings with the weights or priors of classes that a recipe's loss asks for.

    Raises:
        ConfigError: If the sizes of the classes are not known.
    """
    if recipe.loss == PLAIN_LOSS:
        return settings
    if settings.class_sizes is None:
        raise ConfigError(
            f"The loss {recipe.loss} needs the sizes of the classes, and the settings have none. "
            "Give class_sizes, or a recipe with a plain loss."
        )
    if recipe.loss == "class_balanced":
        return replace(settings, class_weights=effective_weights(settings.class_sizes))
    return replace(settings, class_weights=None, log_priors=log_priors(settings.class_sizes))


def effective_weights(sizes: Sequence[float]) -> tuple[float, ...]:
    """Return class weights of one over the effective number of examples, 1 on average.

    A class of less than one example counts as one of one.

    Source: Cui et al. 2019 (Class-balanced loss based on effective number of samples),
    equations 3 and 4.
    """
    weights = [(1 - BETA) / (1 - BETA ** max(size, 1.0)) for size in sizes]
    mean = sum(weights) / len(weights)
    return tuple(weight / mean for weight in weights)


def log_priors(sizes: Sequence[float]) -> tuple[float, ...]:
    """Return the logarithm of each class's share, by which a loss shifts the logits.

    Training with shifted logits and predicting by plain ones minimizes the balanced error. A class
    of less than one example counts as one of one.

    Source: Ren et al. 2020 (Balanced meta-softmax), equation 3; Menon et al. 2021 (Long-tail
    learning via logit adjustment), equation 10 with tau 1.
    """
    known = [max(size, 1.0) for size in sizes]
    return tuple(math.log(size / sum(known)) for size in known)
