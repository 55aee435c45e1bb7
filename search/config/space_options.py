"""The groups of options within the space: the grids of recipes, and the rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from archfront.search.config.option_types import (
    Automatic,
    Bounds,
    Flag,
    Switch,
    Values,
    option,
)


@dataclass(frozen=True, kw_only=True)
class RecipeConfig:
    """Grids of the training recipe; one value fixes an axis.

    ``auto`` follows from the task, the first weights and the number of images.
    """

    lr: Automatic[Values[Annotated[float, Bounds(1e-8, 10)]]] = option(
        "peak learning rates of AdamW"
    )
    weight_decay: Automatic[Values[Annotated[float, Bounds(0, 10)]]] = option(
        "weight decays of AdamW"
    )
    batch_size: Automatic[Values[Annotated[int, Bounds(1, 65_536)]]] = option("images per step")
    augment: Automatic[Values[Literal["none", "light", "light_if_long", "strong"]]] = option(
        "augmentation strengths; light_if_long: none in full trainings of fewer than 12 epochs"
    )
    dropout: Automatic[Values[Annotated[float, Bounds(0, 0.9)]]] = option(
        "dropout before the classifier"
    )
    freeze: Automatic[Values[Flag]] = option(
        "train the head only (with weights); without augmentation on features computed once"
    )
    loss: Automatic[Values[Literal["plain", "class_balanced", "balanced_softmax"]]] = option(
        "plain: task.loss; class_balanced: rare classes weigh more, by effective number; "
        "balanced_softmax: by the classes' shares, for task=classification"
    )
    flips: Automatic[Values[Literal["usual", "none", "horizontal", "vertical", "both", "all"]]] = (
        option(
            "flips that every augmentation draws from; all: with quarter turns; usual: light has "
            "none, strong mirrors, and turns boxes and masks by quarters"
        )
    )
    layer_decay: Automatic[Values[Annotated[float, Bounds(0.1, 1)]]] = option(
        "learning rate of a layer of timm's over that of the layer above it, for fine-tuning; "
        "1: equal ones"
    )


@dataclass(frozen=True, kw_only=True)
class RulesConfig:
    """The rules by which the data decides what is left open, each told when it applies."""

    balance: Switch = option(
        "off: the metric and the losses do not follow from how unequal the classes are"
    )
    object_size: Switch = option(
        "auto: input sizes grow where small objects cover less than a cell, for long studies"
    )
    crowding: Switch = option("off: detectors find 100 objects however crowded the images are")
    few_images: Switch = option(
        "auto: augmentation and weight decay are searched where training images are few"
    )
    symmetry: Switch = option("off: flips do not follow from how well flipped images are told")
    folds: Switch = option("off: few validation images ask for no folds")
