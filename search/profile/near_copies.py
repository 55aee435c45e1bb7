"""Copies of images: with equal pixels, and nearly so.

Candidates are near in grey thumbnails. They are found in buckets: random hyperplanes give each
image a number per table, and images near each other share one in some table (Charikar 2002,
"Similarity estimation techniques from rounding algorithms"). A candidate is confirmed by what is
fine in the thumbnails, since images of one subject on one ground, as digits, drawings and scans,
are near each other in what is coarse, but only copies are in what is fine.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from archfront.search.profile.stored_rows import PixelRows
from archfront.trainers.data.images import Pixels

Rows = NDArray[np.int64]
Vectors = NDArray[np.float32]

# Up to so many images all pairs are compared; more are first put into buckets.
ALL_PAIRS = 2048
TABLES, BITS = 16, 12
BLOCK = 256  # rows that are compared at a time
# Of many images near each other, as those of a fixed camera, so many are compared closely with
# each: the nearest ones before it.
PARTNERS = 8
POOL = 2  # pixels of a thumbnail, a side, for each number by which candidates are found
# Correlations of thumbnails, and of what is fine in them.
NEAR, FINE, FINE_OF_SMALL = 0.96, 0.92, 0.94
# Parts of a thumbnail along a side, the correlation within one, and the share of those with detail
# that has it; the rest may be covered by a stamp.
PARTS, LOCAL, SHARE = 4, 0.7, 0.9
# Standard deviations in levels of grey: what is flatter shows nothing by which to tell copies.
FLAT, FLAT_FINE = 2.0, 1.5
# Of smaller images too few pixels are left to tell copies from likenesses by what is fine: of them
# no pixel of the thumbnails may differ by more levels of grey, and all of them by a share of their
# deviation (benchmarks/LOG.md, "Near copies of small images").
SMALLEST_PX = 48
NEAR_OF_SMALLEST, LEVELS, LEVELS_SHARE = 0.99, 20, 0.25
# Compression blurs what is fine in smaller images, which are compared at half the scale.
DETAILED_PX = 64
# Difference between the tints, as shares of the whole range, of which copies stay below.
TINT = 0.06


@dataclass(frozen=True)
class Look:
    """What copies are found by.

    Attributes:
        thumbs: Grey values in small, uint8 ``(N, T, T)``.
        means: Mean of each channel, for values 0..1, ``(N, 3)``.
        shorter: Shorter side of each image in pixels, ``(N,)``.
    """

    thumbs: PixelRows
    means: NDArray[np.float32]
    shorter: Rows


@dataclass(frozen=True)
class _Pairs:
    """Pairs ``(P, 2)``, the lower row first, and their correlations ``(P,)``."""

    rows: Rows
    alike: Vectors


def equal_groups(keys: Sequence[Hashable]) -> list[list[int]]:
    """Return the rows of equal keys, where there are several, in their order."""
    rows: defaultdict[Hashable, list[int]] = defaultdict(list)
    for row, key in enumerate(keys):
        rows[key].append(row)
    return [group for group in rows.values() if len(group) > 1]


def near_pairs(images: Look, rows: Sequence[int]) -> list[tuple[int, int]]:
    """Return the pairs among some rows that are near copies, in their order.

    Args:
        images: What is known of all images.
        rows: Those to compare; of equal images one is enough.
    """
    some = np.array(rows, np.int64)
    if len(some) < 2:
        return []
    vectors, spread = _coarse(images.thumbs, some)
    is_told = spread >= FLAT
    some, vectors = some[is_told], vectors[is_told]
    is_tiny = images.shorter[some] < SMALLEST_PX
    least = np.where(is_tiny, NEAR_OF_SMALLEST, NEAR).astype(np.float32)
    pairs = some[_candidates(vectors, least)]
    kept = [pairs[start : start + BLOCK] for start in range(0, len(pairs), BLOCK)]
    return [tuple(pair) for block in kept for pair in block[_are_copies(images, block)].tolist()]


def _coarse(thumbs: PixelRows, rows: Rows) -> tuple[NDArray[np.float16], Vectors]:
    """Return rows of thumbnails, shrunk, as unit vectors, and their deviations; by blocks."""
    vectors = np.empty((len(rows), (thumbs.shape[1] // POOL) ** 2), np.float16)
    spread = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), BLOCK):
        some = slice(start, start + BLOCK)
        shrunk = _shrunk(thumbs[rows[some]], POOL)
        vectors[some], spread[some] = _unit(shrunk.reshape(len(shrunk), -1))
    return vectors, spread


def _unit(values: Vectors) -> tuple[Vectors, Vectors]:
    """Return rows of mean 0 and length 1, and their standard deviations before."""
    centered = values - values.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(centered, axis=1, keepdims=True)
    unit: Vectors = centered / np.maximum(lengths, 1e-6)
    return unit, lengths[:, 0] / np.float32(np.sqrt(values.shape[1]))


def _buckets(vectors: NDArray[np.float16]) -> Iterator[Rows]:
    """Yield rows that may be near each other: all of a few, else those of equal numbers."""
    if len(vectors) <= ALL_PAIRS:
        yield np.arange(len(vectors))
        return
    # What all images share says nothing of which are near.
    shared = vectors.mean(axis=0, dtype=np.float32)
    rng = np.random.default_rng(0)
    powers = 2 ** np.arange(BITS)
    for _ in range(TABLES):
        planes = rng.standard_normal((vectors.shape[1], BITS)).astype(np.float32)
        numbers = np.empty(len(vectors), np.int64)
        for start in range(0, len(vectors), BLOCK):
            own = vectors[start : start + BLOCK].astype(np.float32) - shared
            numbers[start : start + BLOCK] = (own @ planes > 0) @ powers
        order = np.argsort(numbers, kind="stable")
        ends = np.flatnonzero(np.diff(numbers[order])) + 1
        yield from (bucket for bucket in np.split(order, ends) if len(bucket) > 1)


def _candidates(vectors: NDArray[np.float16], least: Vectors) -> Rows:
    """Return pairs ``(P, 2)`` that are near in small, the lower row first, in their order.

    Each row has pairs with up to ``PARTNERS`` lower ones, so that there are never many.

    Args:
        vectors: Of all rows, of length 1.
        least: Correlation that a pair of each row has to have.
    """
    n, n_added = len(vectors), 0
    found = [_Pairs(np.empty((0, 2), np.int64), np.empty(0, np.float32))]
    for bucket in _buckets(vectors):
        for some in _near_in(vectors, least, bucket):
            found.append(some)
            n_added += len(some.rows)
            if n_added > PARTNERS * n:
                found, n_added = [_nearest(found, n)], 0
    return _nearest(found, n).rows


def _nearest(found: Sequence[_Pairs], n: int) -> _Pairs:
    """Return each pair once, of each second row those with the nearest first ones, in order."""
    rows = np.concatenate([some.rows for some in found])
    alike = np.concatenate([some.alike for some in found])
    _, places = np.unique(rows[:, 0] * n + rows[:, 1], return_index=True)
    rows, alike = rows[places], alike[places]
    order = np.lexsort((-alike, rows[:, 1]))
    seconds = rows[order, 1]
    rank = np.arange(len(seconds)) - np.searchsorted(seconds, seconds)
    kept = np.sort(order[rank < PARTNERS])
    return _Pairs(rows[kept], alike[kept])


def _near_in(vectors: NDArray[np.float16], least: Vectors, bucket: Rows) -> Iterator[_Pairs]:
    """Yield pairs of a bucket that are near in small: of each row some of the nearest.

    Args:
        vectors: Of all rows, of length 1.
        least: Correlation that a pair of each row has to have.
        bucket: Rows that are compared, ascending.
    """
    inside = vectors[bucket].astype(np.float32)
    for start in range(0, len(bucket), BLOCK):
        others = bucket[start:]
        asked = np.maximum(least[others[:BLOCK], None], least[others])
        alike = inside[start : start + BLOCK] @ inside[start:].T
        later = np.triu(alike > asked, 1)
        crowded = np.flatnonzero(later.sum(axis=0) > PARTNERS)
        ranked = np.argsort(np.where(later[:, crowded], -alike[:, crowded], 1), axis=0)
        later[ranked[PARTNERS:], crowded] = False
        firsts, seconds = np.nonzero(later)
        rows = np.stack([bucket[start + firsts], bucket[start + seconds]], axis=1)
        yield _Pairs(rows, alike[firsts, seconds])


def _are_copies(images: Look, pairs: Rows) -> NDArray[np.bool_]:
    """Return which pairs ``(P, 2)`` agree in what is fine in them and in their tint."""
    tints = [means - means.mean(axis=1, keepdims=True) for means in images.means[pairs.T]]
    agree: NDArray[np.bool_] = np.abs(tints[0] - tints[1]).max(axis=1) < TINT
    shorter = images.shorter[pairs].min(axis=1)
    is_tiny = shorter < SMALLEST_PX
    is_small = (shorter < DETAILED_PX) & ~is_tiny
    agree[is_tiny] &= _hardly_differ(*(images.thumbs[column] for column in pairs[is_tiny].T))
    # Without pairs of a kind all arrays are empty.
    is_large = shorter >= DETAILED_PX
    for pool, least, is_meant in ((1, FINE, is_large), (POOL, FINE_OF_SMALL, is_small)):
        first, second = (_unit(_fine(images.thumbs[column], pool)) for column in pairs[is_meant].T)
        is_told = np.minimum(first[1], second[1]) >= FLAT_FINE
        is_near = is_told & ((first[0] * second[0]).sum(axis=1) > least)
        is_near[is_near] = _agree_everywhere(
            *(one[0][is_near] * one[1][is_near, None] for one in (first, second))
        )
        agree[is_meant] &= is_near
    return agree


def _hardly_differ(first: Pixels, second: Pixels) -> NDArray[np.bool_]:
    """Return which pairs of thumbnails ``(P, T, T)`` are nearly equal in every pixel."""
    differences = first.astype(np.float32) - second
    spread = np.minimum(first.std(axis=(1, 2)), second.std(axis=(1, 2)))
    largest = np.abs(differences).max(axis=(1, 2), initial=0)
    usual = np.sqrt((differences**2).mean(axis=(1, 2)))
    result: NDArray[np.bool_] = (largest <= LEVELS) & (usual <= LEVELS_SHARE * spread)
    return result


def _agree_everywhere(first: Vectors, second: Vectors) -> NDArray[np.bool_]:
    """Return which pairs agree in most parts that have detail, and not just in one strong edge.

    Args:
        first: What is fine in the one of each pair, over its root of the number of pixels,
            ``(P, T * T)``.
        second: The same of the other.
    """
    side = round(first.shape[1] ** 0.5)
    blocks = [
        (one * np.float32(side))
        .reshape(-1, PARTS, side // PARTS, PARTS, side // PARTS)
        .swapaxes(2, 3)
        .reshape(-1, PARTS**2, (side // PARTS) ** 2)
        for one in (first, second)
    ]
    spreads = [np.sqrt((block**2).mean(axis=2)) for block in blocks]
    has_detail = np.minimum(*spreads) >= FLAT_FINE
    alike = (blocks[0] * blocks[1]).mean(axis=2) / np.maximum(spreads[0] * spreads[1], 1e-6)
    n_detailed = has_detail.sum(axis=1)
    n_alike = (has_detail & (alike > LOCAL)).sum(axis=1)
    result: NDArray[np.bool_] = (n_detailed > 0) & (n_alike >= SHARE * n_detailed)
    return result


def _fine(thumbs: Pixels, pool: int) -> Vectors:
    """Return thumbnails ``(P, T, T)``, shrunk by a factor, less the means of 3 x 3 pixels."""
    values = _shrunk(thumbs, pool)
    padded = np.pad(values, ((0, 0), (1, 1), (1, 1)), mode="edge")
    side = values.shape[1]
    blurred = sum(padded[:, y : y + side, x : x + side] for y in range(3) for x in range(3)) / 9
    fine: Vectors = (values - blurred).reshape(len(values), side * side)
    return fine


def _shrunk(thumbs: Pixels, pool: int) -> Vectors:
    n, side = len(thumbs), thumbs.shape[1]
    blocks = thumbs.reshape(n, side // pool, pool, side // pool, pool)
    shrunk: Vectors = blocks.mean(axis=(2, 4), dtype=np.float32)
    return shrunk
