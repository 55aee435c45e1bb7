"""Objects and masks, counted image by image."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from itertools import count

import numpy as np
from numpy.typing import NDArray

from archfront.search.profile.dataset_profile import PLACES, MaskProfile, ObjectProfile
from archfront.search.profile.distribution import Numbers
from archfront.search.profile.faults import ImageRef, SmallObject
from archfront.trainers.data.objects import segment_area
from archfront.trainers.data.targets import Mask, Objects

OVERLAP = 0.3  # IoU from which two objects hide each other
# A box so near to the border of its image, in pixels, touches it.
TOUCHES_PX = 1.0
N_SMALLEST = 12
ROWS = 512  # of a matrix of IoU at a time

Boxes = NDArray[np.float32]


class ObjectCounts:
    """Counts the objects of images; crowds do not count."""

    def __init__(self) -> None:
        self.per_image, self.side_px, self.side_share = Numbers(), Numbers(), Numbers()
        self.aspect, self.boundary = Numbers(), Numbers()
        self._per_class: dict[int, Numbers] = {}
        self._n = self._n_overlapping = self._n_truncated = self._n_crowds = 0
        self._places = np.zeros((PLACES, PLACES), np.int64)
        self._areas: dict[int, float] = {}
        self._pixels = 0
        self._numbers = count()
        self._smallest: list[tuple[float, int, ImageRef, int, Boxes]] = []

    def add(
        self,
        image: ImageRef,
        objects: Objects,
        size: tuple[int, int],
        boundary: float | None = None,
    ) -> None:
        """Count the objects of an image.

        Args:
            image: Its part and its name.
            objects: Inside of the image.
            size: Width and height of the image.
            boundary: Share of its pixels beside another object or the ground; None without
                outlines.
        """
        shown = objects.only(np.flatnonzero(~objects.crowd))
        self._n_crowds += len(objects) - len(shown)
        self.per_image.add(len(shown))
        self._pixels += size[0] * size[1]
        if boundary is not None:
            self.boundary.add(boundary)
        if not len(shown):
            return
        boxes, (width, height) = shown.boxes, size
        sides = boxes[:, 2:] - boxes[:, :2]
        roots = np.sqrt(np.prod(sides, axis=1, dtype=np.float64))
        self.side_px.add(*roots.tolist())
        shares = (roots / max(size)).tolist()
        self.side_share.add(*shares)
        self.aspect.add(*(sides[:, 0] / sides[:, 1]).tolist())
        for label, share in zip(shown.labels.tolist(), shares, strict=True):
            self._per_class.setdefault(label, Numbers()).add(share)
        self._n += len(shown)
        self._n_overlapping += _n_overlapping(boxes)
        far = np.array([width, height], np.float32) - TOUCHES_PX
        touches = (boxes[:, :2] < TOUCHES_PX) | (boxes[:, 2:] > far)
        self._n_truncated += int(touches.any(axis=1).sum())
        centers = (boxes[:, :2] + boxes[:, 2:]) / 2 / np.array([width, height], np.float32)
        columns, rows = (centers * PLACES).astype(np.int64).clip(0, PLACES - 1).T
        np.add.at(self._places, (rows, columns), 1)
        for segment, label in zip(shown.segments or (), shown.labels.tolist(), strict=False):
            covered = self._areas.get(label, 0.0) + segment_area(segment, *size)
            self._areas[label] = covered
        self._keep_smallest(image, shown, roots)

    def _keep_smallest(self, image: ImageRef, shown: Objects, roots: NDArray[np.float64]) -> None:
        for place in np.argsort(roots, kind="stable")[:N_SMALLEST].tolist():
            # The number makes each entry unlike the others, so that no boxes are compared.
            number = next(self._numbers)
            box, label = shown.boxes[place], int(shown.labels[place])
            entry = (-float(roots[place]), -number, image, label, box)
            if len(self._smallest) < N_SMALLEST:
                heapq.heappush(self._smallest, entry)
            elif entry > self._smallest[0]:
                heapq.heapreplace(self._smallest, entry)
            else:
                return

    def smallest(self, class_names: Sequence[str]) -> tuple[SmallObject, ...]:
        """Return the smallest objects, ascending."""
        return tuple(
            SmallObject(image, class_names[label], _corners(box))
            for _, _, image, label, box in sorted(self._smallest, reverse=True)
        )

    def profile(self, class_names: Sequence[str]) -> ObjectProfile:
        """Return what was counted."""
        n = max(self._n, 1)
        return ObjectProfile(
            per_image=self.per_image.distribution(),
            side_px=self.side_px.distribution(),
            side_share=self.side_share.distribution(),
            aspect=self.aspect.distribution(),
            overlap_share=self._n_overlapping / n,
            truncated_share=self._n_truncated / n,
            crowds=self._n_crowds,
            side_share_per_class={
                class_names[label]: numbers.distribution().p50
                for label, numbers in sorted(self._per_class.items())
            },
            pixel_share={
                class_names[label]: area / max(self._pixels, 1)
                for label, area in sorted(self._areas.items())
            },
            places=tuple(tuple(row) for row in self._places.tolist()),
            boundary_density=self.boundary.distribution(),
        )


def _corners(box: Boxes) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = (float(value) for value in box)
    return x1, y1, x2, y2


def _n_overlapping(boxes: Boxes) -> int:
    """Return how many boxes ``(K, 4)`` overlap another one."""
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    total = 0
    for start in range(0, len(boxes), ROWS):
        some = slice(start, start + ROWS)
        low = np.maximum(boxes[some, None, :2], boxes[None, :, :2])
        high = np.minimum(boxes[some, None, 2:], boxes[None, :, 2:])
        shared = np.prod((high - low).clip(0), axis=2)
        overlaps = shared > OVERLAP * (areas[some, None] + areas - shared)
        rows = np.arange(len(overlaps))
        overlaps[rows, start + rows] = False
        total += int(overlaps.any(axis=1).sum())
    return total


class MaskCounts:
    """Counts the pixels of masks."""

    def __init__(self, n_classes: int) -> None:
        self._pixels = np.zeros(n_classes, np.int64)
        self._total = 0
        self.boundary, self.classes = Numbers(), Numbers()

    def add(self, mask: Mask, size: tuple[int, int], boundary: float) -> None:
        """Count the pixels of a mask with the share of them beside another class."""
        self._pixels += np.array(mask.counts, np.int64)
        self._total += size[0] * size[1]
        self.boundary.add(boundary)
        self.classes.add(sum(count > 0 for count in mask.counts))

    def profile(self, class_names: Sequence[str]) -> MaskProfile:
        """Return what was counted."""
        counted = int(self._pixels.sum())
        shares = (self._pixels / max(counted, 1)).tolist()
        return MaskProfile(
            pixel_share=dict(zip(class_names, shares, strict=True)),
            ignored_share=1 - counted / max(self._total, 1),
            boundary_density=self.boundary.distribution(),
            classes_per_image=self.classes.distribution(),
        )
