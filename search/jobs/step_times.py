"""The time of a candidate's training steps, and the epochs that follow from it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from archfront.search.engine.worker import emit
from archfront.search.records.candidate import Candidate
from archfront.search.records.events import Noticed
from archfront.search.records.plan import Plan
from archfront.trainers.spec import Precision, TrainSettings

# Timed steps at least; of fast ones there are more.
TIMED_STEPS = 2


@dataclass(frozen=True)
class StepsRequest:
    """The request to time training steps of a candidate.

    Attributes:
        candidate: The candidate; its batch size is that of the steps.
        settings: The settings of the training.
        compares_precisions: Whether both precisions are timed.
    """

    candidate: Candidate
    settings: TrainSettings
    compares_precisions: bool


@dataclass(frozen=True)
class StepTimes:
    """The time of training steps.

    Attributes:
        precision: The faster precision of those that were timed.
        image_s: Seconds of a step in it for each image.
    """

    precision: Precision
    image_s: float


@dataclass(frozen=True)
class OwnSteps:
    """What the epochs of a candidate follow from where all trainings take equally long.

    A plan knows the steps of a few networks and those of others by their work, which leaves a
    factor of two unexplained on some machines (benchmarks/LOG.md, "Epochs by a candidate's own
    steps"). So each candidate's own steps are timed where it is trained, before that.

    Attributes:
        plan: The plan of the study.
        unit_s: Seconds of a training step for an image of one unit of work, as it was planned.
        candidate: The candidate, with the batches of the timed steps.
    """

    plan: Plan
    unit_s: float
    candidate: Candidate

    def fitted(self, settings: TrainSettings) -> TrainSettings:
        """Return the settings of a training to the lowest rung with the epochs that fit.

        Args:
            settings: Those that the plan expects, which stay where no step can be timed.
        """
        is_half = settings.precision == "bf16"
        try:
            found = steps(StepsRequest(self.candidate, settings, compares_precisions=is_half))
        except RuntimeError as error:  # as where the memory of a device is used up
            what = f"no training step of {self.candidate.label} could be timed"
            emit(Noticed(f"{what}, so its epochs are as planned: {error}"))
            return settings
        rungs = self.plan.rungs_of(found.image_s / self.unit_s)
        return replace(settings, until_epoch=rungs[0], horizon=rungs[-1])


def steps(request: StepsRequest) -> StepTimes:
    """Return the time of training steps in the faster precision.

    Raises:
        BuildError: If the network cannot be built.
    """
    from archfront.trainers.training.precision import precision_probe

    batch_size = request.candidate.recipe.batch_size
    found = precision_probe(
        request.candidate.architecture,
        request.settings,
        batch_size=batch_size,
        rounds=TIMED_STEPS,
        precisions=("fp32", "bf16") if request.compares_precisions else ("fp32",),
    )
    return StepTimes(found.precision, found.step_ms / 1000 / batch_size)
