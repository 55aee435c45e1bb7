"""The grids of recipes that fit a task, the first weights and the number of images."""

from __future__ import annotations

from archfront.search.config.space_options import RecipeConfig
from archfront.trainers.spec import PLAIN_LOSS, USUAL_FLIPS
from archfront.trainers.tasks import TASKS

# Training images below which a step of 64, or of more than 16, leaves too few steps: at 500
# images a batch of 32 has 15 steps an epoch, and a schedule of 45 steps says nothing yet
# (benchmarks/LOG.md, "Frozen features, solved heads and fine-tuning").
FEW_IMAGES, VERY_FEW_IMAGES = 2000, 500


def recipe_grids(task: str, *, is_transfer: bool, n_train: int) -> RecipeConfig:
    """Return the grids of a task: few values, since a search lasts minutes.

    Args:
        task: Name of the task.
        is_transfer: Whether training begins with weights.
        n_train: Images of the training split.
    """
    if TASKS[task].is_image_level:
        return _classifying(is_transfer=is_transfer, n_train=n_train)
    # Detectors and decoders learn from many cells an image, and in few minutes or with few images
    # it is steps that a training lacks: 4 images a batch gave more than 8 (benchmarks/LOG.md,
    # "Dense studies of eight minutes"). Their heads are random at first, also over weights, and
    # the backbone bears no more than 1e-3.
    batch_size = (4, 8) if n_train > VERY_FEW_IMAGES else (4,)
    if is_transfer:
        lr = (1e-3, 5e-4)
    else:
        lr = (1e-3, 3e-3) if task == "semantic" else (1e-3, 2e-3)
    return _grid(lr=lr, batch_size=batch_size)


def _classifying(*, is_transfer: bool, n_train: int) -> RecipeConfig:
    """Return the grids for labels of whole images."""
    if is_transfer:
        # The head begins with a solution on frozen features and frozen norms: 3e-4 gained most,
        # 1e-3 first lost what the head had, and 1e-4 was too slow (the same entry of the log).
        return _grid(lr=(2e-4, 5e-4), batch_size=(32,))
    # A network that knows nothing takes steps as large as AdamW bears; smaller ones only cost
    # epochs. The batch is an axis where there are images enough for both.
    batch_size = (32, 64) if n_train > FEW_IMAGES else (16, 32)
    return _grid(lr=(1e-3, 3e-3), batch_size=batch_size if n_train > VERY_FEW_IMAGES else (16,))


def _grid(*, lr: tuple[float, ...], batch_size: tuple[int, ...]) -> RecipeConfig:
    """Return a grid over learning rate and batch; the other axes gain less than they cost.

    The augmentation goes by the length of the training (benchmarks/LOG.md, "Augmentation in short
    trainings").
    """
    return RecipeConfig(
        lr=lr,
        weight_decay=(0.05,),
        batch_size=batch_size,
        augment=("light_if_long",),
        dropout=(0.0,),
        freeze=(False,),
        loss=(PLAIN_LOSS,),
        flips=(USUAL_FLIPS,),
        layer_decay=(1.0,),
    )
