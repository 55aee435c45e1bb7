"""Rows that rounding swaps pass as the same; a wrong export does not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from archfront.search.errors import ParityError
from archfront.search.runtimes.parity import check_parity
from archfront.trainers.networks.detectors.align import MAX_STRAY, aligned
from archfront.trainers.tasks import TASKS
from tests.search.runtimes.test_parity import FixedSession

N, P, C = 8, 40, 2
Floats = NDArray[np.float32]
Outputs = list[Floats]


def outputs(seed: int = 0) -> Outputs:
    """Return proposals, detections and masks as a detector of two stages gives them."""
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 48, (N, P, C, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(4, 16, corners.shape)], axis=3)
    scores = rng.uniform(0, 1, (N, P, C))
    labels = rng.integers(0, C, (N, P))
    best = np.take_along_axis(boxes, labels[..., None, None], axis=2)[:, :, 0]
    own = np.take_along_axis(scores, labels[..., None], axis=2)
    detections = np.concatenate([best, own, labels[..., None]], axis=2)
    masks = rng.uniform(0, 1, (N, P, 4, 4))
    return [value.astype(np.float32) for value in (boxes, scores, detections, masks)]


def shuffled(values: Outputs, seed: int = 1) -> Outputs:
    """Return the rows of every image in two orders, one for proposals, one for detections."""
    rng = np.random.default_rng(seed)
    orders = [np.stack([rng.permutation(P) for _ in range(N)]) for _ in range(2)]
    return [
        np.take_along_axis(v, orders[i // 2].reshape(N, P, *[1] * (v.ndim - 2)), axis=1)
        for i, v in enumerate(values)
    ]


def test_rows_in_another_order_find_back() -> None:
    expected = outputs()
    for value, other in zip(aligned(expected, shuffled(expected)), expected, strict=True):
        assert np.array_equal(value, other)


def test_dense_boxes_keep_their_places() -> None:
    expected = outputs()
    dense = [expected[0][:, :, 0], expected[1], expected[2]]
    moved = [*shuffled(dense)[:2], dense[2]]
    found = aligned(dense, moved)
    assert all(np.array_equal(value, other) for value, other in zip(found, moved, strict=True))


def test_what_was_expected_is_left_as_it_was() -> None:
    expected = outputs()
    found = shuffled(expected)
    kept = [value.copy() for value in (*expected, *found)]
    aligned(expected, found)
    assert all(map(np.array_equal, kept, (*expected, *found)))


class Detecting(nn.Module):
    """Gives the proposals of the image whose number is its first pixel."""

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        index = images[:, 0, 0, 0].long()
        return tuple(torch.from_numpy(value)[index] for value in outputs())


def parity(change: Callable[[Outputs], Outputs]) -> float:
    """Return the parity of an export that gives changed outputs, in another order."""
    images = torch.arange(N)[:, None, None, None].float()
    found = shuffled(change(outputs()))

    def exported(batch: torch.Tensor) -> list[torch.Tensor]:
        return [torch.from_numpy(value)[batch[:, 0, 0, 0].long()] for value in found]

    return check_parity(
        Detecting(),
        FixedSession(exported),
        torch.split(images, 1),
        aligned=TASKS["instance"].aligned,
    )


def strayed(share: float) -> Callable[[Outputs], Outputs]:
    """Return what replaces a share of the proposals by others, all in the last images."""

    def change(values: Outputs) -> Outputs:
        n = round(share * N * P)
        others = outputs(seed=7)
        for value, other in zip(values[:2], others[:2], strict=True):
            value.reshape(N * P, -1)[N * P - n :] = other.reshape(N * P, -1)[N * P - n :]
        return values

    return change


def shifted(place: int, by: float, share: float = 1.0) -> Callable[[Outputs], Outputs]:
    """Return what adds to an output of the first rows of every image."""

    def change(values: Outputs) -> Outputs:
        values[place][:, : round(share * P)] += np.float32(by)
        return values

    return change


def test_swapped_rows_and_a_few_others_pass() -> None:
    assert parity(lambda values: values) == 0
    assert parity(strayed(0.9 * MAX_STRAY)) == 0
    assert 0 < parity(shifted(0, 1e-3)) < 1e-3


@pytest.mark.parametrize(
    "change",
    [
        strayed(1.2 * MAX_STRAY),
        shifted(0, 0.1),
        shifted(0, 30.0),
        shifted(1, 0.01),
        shifted(2, 0.1),
        lambda values: [*values[:2], values[2] * np.float32([1, 1, 1, 1, 1, 0]), values[3]],
        shifted(3, 0.01, share=0.1),
        lambda values: [values[0][:, :, ::-1].copy(), *values[1:]],
        lambda values: [values[0], values[1][:, ::-1].copy(), *values[2:]],
        lambda values: [value * np.float32(np.nan) for value in values],
        lambda values: [np.zeros_like(value) for value in values],
    ],
    ids=[
        *(
            "too many others",
            "boxes by 0.1 px",
            "boxes by 30 px",
            "scores",
            "detections",
            "labels",
            "masks",
        ),
        *("boxes of the other class", "scores of other boxes", "not finite", "nothing"),
    ],
)
def test_a_wrong_export_fails_in_any_order(change: Callable[[Outputs], Outputs]) -> None:
    with pytest.raises(ParityError, match="differs from eager PyTorch"):
        parity(change)
