"""The first candidates of a study, spread over the front that is expected without training."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from archfront.search.samplers.request import MANY, Request
from archfront.search.samplers.surrogate import Scaling, standardized
from archfront.trainers.tasks import TASKS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# One of this many candidates is chosen by capacity whatever was published, so that a misleading
# publication does not choose all that the processes first learn from (benchmarks/LOG.md,
# "Capacity in the start").
BY_CAPACITY = 3
# A place on the front of capacity goes to one of the candidates around it by cost, within AROUND
# of all candidates to both sides, and of those to one of the largest: a share of them, but at
# least LARGEST_LEAST. The share is larger where a start is a short training, in which less is lost
# (benchmarks/LOG.md, "Unlike candidates in the start"; benchmarks/LOG.md, "Rungs on replay
# tables").
AROUND = 0.03
# Ends of the names of the descriptors that make up a capacity; of pixels and objects the second,
# and where it is set against the work of steps the third.
CAPACITY = ("macs_g", "params_m", "log_macs", "log_params")
DENSE_CAPACITY = ("macs_g", "input_size")
CAPACITY_BY_STEP = (*CAPACITY, "input_size")
LARGEST, LARGEST_OF_RUNGS, LARGEST_LEAST = 0.1, 0.2, 3
# Where no architecture is likely to be within the limits, those are chosen from whose probability
# of it is at least this share of the largest one.
UNLIKELY = 0.5
# Places that follow each other by the golden ratio fill a front evenly, whenever they end.
GOLDEN = (5**0.5 - 1) / 2


class Start:
    """Chooses architectures along the front of published accuracy, or of capacity, by cost.

    Where minutes are the budget, and training starts from nothing or a pixel or an object is
    what is learned, nothing published leads and the cost is the time of a training step: those
    networks learn most in few minutes that do most work in a second. The largest of them that the
    time allows is one of the first candidates (benchmarks/LOG.md, "What learns in few minutes",
    "Weights from a folder").

    The front of capacity is of one kind: where several operations cost alike, all its members
    have the largest, and what is learned from them alone is that nothing else matters. So where
    candidates have names, a place on it goes to the candidate beside it that differs most from
    all that was tried: numbers have an order, along which a trend is learned from the front's own
    members. Source: the greedy rule of Gonzalez 1985 (Clustering to Minimize the Maximum
    Intercluster Distance).

    Where time can run out and a pixel or an object is what is learned, one of the first
    candidates is the largest of the usual ones, those with the first head and shape of the space,
    that can be trained in full: heads learn at different speeds, and what one short training of
    each says of them is often wrong (benchmarks/LOG.md, "Dense studies of eight minutes").

    Args:
        request: The request of the study.
        scaling: Scaling of the descriptors, in which differences are measured.
    """

    def __init__(self, request: Request, scaling: Scaling) -> None:
        self._request, self._scaling = request, scaling
        self._space = request.candidates.space
        self._is_dense = not TASKS[self._space.task].is_image_level
        self._has_usual = self._is_dense and request.is_timed
        self._is_by_step = request.is_timed and (self._is_dense or self._space.is_from_scratch)
        self._published = None if self._is_by_step else self._space.published
        # The same place within its part for the same trial, whatever became known meanwhile.
        rng = np.random.default_rng([request.seed, 0])
        self._places = rng.uniform(0.25, 0.75, request.startup)
        self._order = self._ordered(request.startup - 1)

    def choose(self, tried: Ints) -> int:
        """Return an open architecture; ``tried`` are those of the trials so far."""
        counts = self._request.candidates.counts()
        usable = counts > 0
        usable[tried] = True
        numbers = np.flatnonzero(usable)
        chance = self._request.costs.chance(numbers)
        likely = chance > 0.5
        if not counts[numbers[likely]].any():  # those that are least unlikely
            likely = chance >= UNLIKELY * chance[counts[numbers] > 0].max()
        numbers = numbers[likely]
        is_new = (counts > 0) & ~np.isin(np.arange(len(counts)), tried)
        k = self._order[min(len(tried), self._request.startup - 1)]
        is_last, share = k == self._request.startup - 1, (k + self._places[k]) / len(self._places)
        if len(tried) >= max(MANY, self._request.startup) and is_new[numbers].any():
            # The fronts of all are used up one after the other, each of them at every place.
            numbers, k = numbers[is_new[numbers]], len(tried)
            is_last, share = False, k * GOLDEN % 1
        published = self._published if k % BY_CAPACITY < BY_CAPACITY - 1 else None
        expected = self._capacity if published is None else _filled(published)
        front = self._front(numbers, expected)
        # Many small networks are near the cheap end, so by steps capacity counts and not its rank.
        along = expected[front] if self._is_by_step else np.arange(len(front), dtype=np.float64)
        if is_last and self._is_by_step:
            share = 1.0
        wanted = along[0] + share * (along[-1] - along[0])
        nearest = front[np.argsort(np.abs(along - wanted), kind="stable")]
        if self._has_usual and is_last:
            usual = numbers[(is_new & self._space.is_usual)[numbers]]
            if len(usual):
                return int(usual[np.argmax(expected[usual])])
        choices = nearest[is_new[nearest]]
        if len(choices) == 0:  # the front is short: what comes behind it
            new = numbers[is_new[numbers]]
            behind = new if len(new) else numbers[counts[numbers] > 0]
            return int(self._front(behind, expected)[0])
        number = int(choices[0])
        is_itself = self._published is not None or not self._scaling.levels
        if is_itself or len(tried) == 0 or (is_last and self._is_by_step):
            return number
        return self._most_different(number, numbers[is_new[numbers]], expected, tried)

    def _ordered(self, last: int) -> Sequence[int]:
        """Return the places of the front in the order of the trials.

        Where the time can run out, both ends come first; the largest first of all and the others
        after it by size, where it is the time of a training that decides what is large.
        """
        if self._is_by_step:
            return range(last, -1, -1)
        return [0, last, *range(1, last)] if self._request.is_timed and last else range(last + 1)

    def recipe(self, number: int, rng: np.random.Generator) -> int:
        """Return an open recipe of an architecture: one of them, or the first with usual ones.

        Where networks learn from nothing in few minutes, one with the largest learning rate: by
        it most is learned soon, and what short trainings of unlike rates say of networks does not
        compare (benchmarks/LOG.md, "The first full training on a slow machine").
        """
        recipes = self._request.candidates.recipes(number)
        if self._has_usual:
            return int(recipes[0])
        if self._is_by_step:
            rates = np.array([self._space.recipes[recipe].lr for recipe in recipes])
            recipes = recipes[rates == rates.max()]
        return int(rng.choice(recipes))

    def _most_different(self, number: int, numbers: Ints, capacity: Floats, tried: Ints) -> int:
        """Return the stand-in of a member of the front of capacity, one of ``numbers``."""
        order = numbers[np.argsort(self._cost(numbers, capacity), kind="stable")]
        at, reach = int(np.flatnonzero(order == number)[0]), int(np.ceil(AROUND * len(order)))
        around = order[max(0, at - reach) : at + reach + 1]
        share = LARGEST_OF_RUNGS if len(self._request.rung_costs) > 1 else LARGEST
        n_largest = max(LARGEST_LEAST, int(np.ceil(share * len(around))))
        around = around[np.argsort(-capacity[around], kind="stable")]
        around = around[capacity[around] >= capacity[around[:n_largest]][-1]]
        ours, theirs = (
            self._scaling.rows(self._space.architecture_features(architectures))
            for architectures in (around, tried)
        )
        differing = (ours.categorical[:, None] != theirs.categorical).sum(axis=2)
        differences = differing + np.abs(ours.numeric[:, None] - theirs.numeric).sum(axis=2)
        return int(around[np.argmax(differences.min(axis=1))])

    def _front(self, numbers: Ints, expected: Floats) -> Ints:
        """Return the architectures that no cheaper one is expected to surpass, by cost."""
        order = numbers[np.lexsort((-expected[numbers], self._cost(numbers, expected)))]
        found = expected[order]
        if found.max() == found.min():  # only their costs are known
            return order
        best = np.maximum.accumulate(found)
        chosen: Ints = order[np.append(True, best[1:] > best[:-1])]
        return chosen

    def _cost(self, numbers: Ints, expected: Floats) -> Floats:
        """Return the seconds of a step, or the sum of the expected costs over the reference.

        Without any cost, return ``expected``.
        """
        if self._is_by_step:
            steps: Floats = self._space.step_s[numbers]
            return steps
        costs = self._request.costs.expected(numbers)
        total: Floats = costs.sum(axis=1) if costs.shape[1] else expected[numbers]
        return total

    @cached_property
    def _capacity(self) -> Floats:
        """Return a score of each architecture's capacity: its size and its work.

        Where pixels or objects are learned, the side of the input says more than the parameters.
        In few minutes it counts beside them: small images lack pixels, not trained parameters.
        Networks whose receptive field a usual object does not fit into come later: for each
        octave that it lacks as much as a spread of the others.
        """
        features = self._space.architecture_features()
        counted: tuple[str, ...] = CAPACITY_BY_STEP if self._is_by_step else CAPACITY
        if self._is_dense:
            counted = DENSE_CAPACITY
        columns = [
            standardized(column)
            for name, column in zip(features.numeric_names, features.numeric.T, strict=True)
            if name.endswith(counted)
        ]
        capacity = np.sum(columns, axis=0) if columns else np.zeros(len(features.numeric))
        return capacity - self._space.unseen_octaves if self._is_dense else capacity


def _filled(published: Floats) -> Floats:
    """Return the published values, with minus infinity where there are none."""
    return np.where(np.isnan(published), -np.inf, published)
