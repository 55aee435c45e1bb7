"""The costs of an image that is cut into tiles, from those of one prediction, and back.

The device remembers what one prediction costs; limits, objectives and fronts are about images.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from archfront.search.records.evaluation import Latency, Measurement, Prediction
from archfront.search.records.image_tiles import ImageTiles
from archfront.trainers.data.preprocess import Preprocess
from archfront.trainers.data.tiles import Tiling
from archfront.trainers.dataset_summary import DatasetSummary

# Answers of each tile that are put together to time it, as many as a detector gives, and the
# times that it is done.
N_ANSWERS, N_TIMES = 100, 7


def tiles_of(dataset: DatasetSummary | None) -> ImageTiles | None:
    """Return the predictions that an image of a dataset takes; None where images stay whole."""
    if dataset is None or dataset.tiles is None:
        return None
    return ImageTiles(int(dataset.tiles.per_image.median), dataset.tiles.merge_ms)


def of_image(measured: Measurement, tiles: ImageTiles | None) -> Measurement:
    """Return the costs of an image, from those of one prediction.

    Memory and size are the same; the rarely exceeded time is that of tiles that all take theirs.
    """
    if tiles is None:
        return measured
    return _scaled(measured, latency_of_image(measured.latency, tiles), tiles.n)


def of_run(measured: Measurement) -> Measurement:
    """Return the costs of one prediction, from those of an image."""
    tiles = measured.latency.tiles
    return (
        measured
        if tiles is None
        else _scaled(measured, latency_of_run(measured.latency), 1 / tiles.n)
    )


def latency_of_run(latency: Latency) -> Latency:
    """Return the time of one prediction, from that of an image."""
    tiles = latency.tiles
    if tiles is None:
        return latency
    n_runs = tiles.runs(latency.batch_size)
    return replace(
        latency,
        p50_ms=(latency.p50_ms - tiles.merge_ms) / n_runs,
        p95_ms=(latency.p95_ms - tiles.merge_ms) / n_runs,
        tiles=None,
    )


def latency_of_image(latency: Latency, tiles: ImageTiles | None) -> Latency:
    """Return the time of all tiles of an image, a batch at a time, and of their merging."""
    if tiles is None:
        return latency
    n_runs = tiles.runs(latency.batch_size)
    return replace(
        latency,
        p50_ms=latency.p50_ms * n_runs + tiles.merge_ms,
        p95_ms=latency.p95_ms * n_runs + tiles.merge_ms,
        tiles=tiles,
    )


def expected_of_image(
    expected: Prediction | None, tiles: ImageTiles | None, batch_size: int
) -> Prediction | None:
    """Return the expected time of an image, from that of one prediction."""
    if expected is None or tiles is None:
        return expected
    n_runs, merge_ms = tiles.runs(batch_size), tiles.merge_ms
    return Prediction(
        p50_ms=expected.p50_ms * n_runs + merge_ms,
        low_ms=expected.low_ms * n_runs + merge_ms,
        high_ms=expected.high_ms * n_runs + merge_ms,
        least_ms=expected.least_ms * n_runs + merge_ms,
    )


def _scaled(measured: Measurement, latency: Latency, factor: float) -> Measurement:
    ips, energy = measured.throughput_ips, measured.energy_mj
    return replace(
        measured,
        latency=latency,
        macs_g=measured.macs_g * factor,
        throughput_ips=None if ips is None else ips / factor,
        energy_mj=None if energy is None else energy * factor,
    )


def measured_merge_ms(
    dataset: DatasetSummary, clock: Callable[[], float] = time.thread_time
) -> float:
    """Return the milliseconds in which this machine puts the answers of an image's tiles together.

    Drawn answers: of boxes as many as a detector gives for each tile, of masks a class for every
    pixel.

    Args:
        dataset: Summary of a dataset whose images are cut.
        clock: Seconds of the processor in this thread, which other work does not add to.
    """
    from archfront.trainers.tasks.judges.class_map import put_core
    from archfront.trainers.tasks.judges.merge import found_in_image

    assert dataset.tiles is not None
    tiling = Tiling(dataset.tiles.size, dataset.tiles.overlap)
    size = (int(dataset.sizes["width"].median), int(dataset.sizes["height"].median))
    tiles = tiling.tiles(*size)
    rng = np.random.default_rng(0)
    if dataset.objects is None:
        parts = [np.zeros((tile.height, tile.width), np.uint8) for tile in tiles]
        image = np.empty(size[::-1], np.uint8)

        def merge() -> None:
            for part, tile in zip(parts, tiles, strict=True):
                put_core(image, part, tile)
    else:
        square = Preprocess(tiling.size, 1, (0.5,), (0.5,), resize="pad", tiling=tiling)
        objects = dataset.tiles.objects or dataset.objects
        side = tiling.size * objects.side_share.median
        rows = np.zeros((len(tiles), N_ANSWERS, 6), np.float32)
        rows[..., :2] = rng.uniform(0, tiling.size - side, rows[..., :2].shape)
        rows[..., 2:4] = rows[..., :2] + side
        rows[..., 4] = rng.random(rows.shape[:2])
        rows[..., 5] = rng.integers(0, len(dataset.class_names), rows.shape[:2])

        def merge() -> None:
            found_in_image([{"detections": row} for row in rows], square, size)

    times = []
    for _ in range(N_TIMES):
        began = clock()
        merge()
        times.append(clock() - began)
    return min(times) * 1e3
