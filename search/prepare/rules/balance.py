"""Classes of unequal size: what is maximized, and which losses are tried."""

from __future__ import annotations

from archfront.search.config.option_types import AUTO
from archfront.search.config.schema import Config
from archfront.search.prepare.rules.facts import Facts
from archfront.search.prepare.rules.rule import Effect
from archfront.search.records.applied_rule import Choice
from archfront.trainers.spec import PLAIN_LOSS
from archfront.trainers.tasks import TASKS

# Above this ratio of the commonest to the rarest class, accuracy says little of the rarest.
ABOVE = 5.0
# Metrics in which every class counts alike.
BALANCED = ("balanced_accuracy", "macro_f1", "map", "miou", "dice", "class_accuracy")


def balance(facts: Facts, config: Config) -> Effect | None:
    """Return a metric in which classes count alike, and losses that do so, where they are unequal.

    Losses are tried only where the metric is one of those: for another one the plain loss is
    right. The loss that fits the balanced error comes first, the plain one stays in.
    """
    shown = {name: count for name, count in facts.per_class.items() if count > 0}
    task = TASKS[config.task.name]
    if len(shown) < 2 or len(task.balances) < 2:
        return None
    most, least = max(shown, key=shown.__getitem__), min(shown, key=shown.__getitem__)
    ratio = shown[most] / shown[least]
    if ratio <= ABOVE:
        return None
    measured = (
        f"the training {facts.counted} are {ratio:.3g}:1 between {most} ({shown[most]:,}) and "
        f"{least} ({shown[least]:,})"
    )
    values: dict[str, Choice] = {}
    metric = config.task.metric
    if metric == AUTO:
        metric = next(name for name in task.metrics if name in BALANCED)
        values["task.metric"] = metric
    if metric not in BALANCED:
        return Effect(
            measured, words=f"task.metric={metric} was given, and the plain loss fits it"
        )
    if config.task.class_weights != "none":
        given = config.task.class_weights
        return Effect(
            measured, values, f"task.class_weights={given} was given, and no loss is tried"
        )
    others = [loss for loss in reversed(task.balances) if loss != PLAIN_LOSS]
    is_accuracy = metric not in ("map", "miou", "dice")  # which average over classes by themselves
    first = [*others, PLAIN_LOSS] if is_accuracy else [PLAIN_LOSS, *others]
    values["space.recipe.loss"] = tuple(first)
    return Effect(measured, values)
