"""The full trainings that a study of minutes is planned with, by what is trained."""

from __future__ import annotations

from dataclasses import dataclass

# Full trainings are planned for the network at the first of these quantiles of all by their work
# for which they are long enough. A study trains light networks in full more often than heavy ones,
# since it weighs gains by seconds; in few minutes it trains light ones only.
QUANTILES = (0.35, 0.2, 0.1, 0.03)
# Epochs of the shortest full training that is still cut into rungs.
LEAST_EPOCHS = 3


@dataclass(frozen=True)
class Aim:
    """The full trainings that a study is planned with.

    Attributes:
        n_full: Full trainings that are planned.
        share: Share of the training time that they have together.
        most_epochs: Epochs of one at most.
        least_images: Images that one sees at least, where one alone can.
        quantiles: Of all networks by their work, of those that it is planned for.
        is_equal: Whether full trainings take as long for each network, instead of as many epochs.
        least_epochs: Epochs of one at least: where fewer fit, an epoch sees a share of the images.
        timed: Of all networks by their work, those whose steps are timed. The middle one of them
            for its work counts.
    """

    n_full: int
    share: float
    most_epochs: int
    least_images: int
    quantiles: tuple[float, ...] = QUANTILES
    is_equal: bool = False
    least_epochs: int = LEAST_EPOCHS
    timed: tuple[float, ...] = (0.2,)


# By whether targets are labels of images, and whether trainings begin with weights. Only a head
# that was solved needs little more: one detector trained for all of 8 minutes had mAP50 .85 where
# the best of three that shared the minutes had .58 (benchmarks/LOG.md, "Races against a plain
# script"). Where nothing is known of labels before, large networks are worth as much as long
# trainings (benchmarks/LOG.md, "What learns in few minutes"), and one has most of the time
# (benchmarks/LOG.md, "The first full training on a slow machine").
AIMS = {
    (True, True): Aim(3, 0.6, 8, 2_500),
    (True, False): Aim(
        n_full=1,
        share=0.6,
        most_epochs=60,
        least_images=40_000,
        quantiles=(0.8, 0.65, 0.5, *QUANTILES),
        is_equal=True,
        least_epochs=15,
        timed=(0.2, 0.5, 0.8),
    ),
    (False, True): Aim(1, 0.65, 40, 1_500),
    (False, False): Aim(1, 0.65, 80, 3_000),
}
