"""The catalog of the installed timm, built by processes whose crash costs a single row."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

from archfront.search.catalog.backbones import Backbone, write

# Rows of one job. When a process dies, its rows are lost and built again one by one.
CHUNK = 12

Progress = Callable[[int, int], None]


def build(path: Path, *, workers: int = 2, progress: Progress | None = None) -> list[Backbone]:
    """Write the catalog of the installed timm and return its rows, in timm's order.

    Args:
        path: File to write when all rows are known.
        workers: Number of processes, each of one thread.
        progress: Called with the number of rows done and of all rows.
    """
    import timm

    names = timm.list_models()
    rows: dict[str, Backbone] = {}
    for done in _described(_chunks(names), workers):
        rows.update((row.name, row) for row in done)
        if progress is not None:
            progress(len(rows), len(names))
    ordered = [rows[name] for name in names]
    write(path, ordered, timm.__version__)
    return ordered


def _chunks(names: Sequence[str]) -> list[list[str]]:
    """Return lists of names of one family each, the longest first."""
    from timm.models import model_entrypoint

    families: dict[str, list[str]] = {}
    for name in names:
        families.setdefault(model_entrypoint(name).__module__, []).append(name)
    chunks = [
        members[start : start + CHUNK]
        for members in families.values()
        for start in range(0, len(members), CHUNK)
    ]
    return sorted(chunks, key=len, reverse=True)


def _described(chunks: list[list[str]], workers: int) -> Iterator[list[Backbone]]:
    left = {tuple(chunk) for chunk in chunks}
    pool = _pool(workers)
    try:
        waiting = {pool.submit(_rows, chunk): tuple(chunk) for chunk in chunks}
        for future in as_completed(waiting):
            try:
                rows = future.result()
            except BrokenProcessPool:  # all chunks that had not ended are started again
                continue
            left.discard(waiting[future])
            yield rows
    finally:
        pool.shutdown(cancel_futures=True)
    for name in sorted(name for chunk in left for name in chunk):
        yield [_alone(name)]


def _alone(name: str) -> Backbone:
    """Return a row from a process of its own; if it dies, that is the row's problem."""
    with _pool(1) as pool:
        future: Future[list[Backbone]] = pool.submit(_rows, [name])
        try:
            return future.result()[0]
        except BrokenProcessPool:
            return Backbone(
                name=name,
                family="?",
                params_m=float("nan"),
                sizes="fixed",
                problem="network: the process that built it died",
            )


def _pool(workers: int) -> ProcessPoolExecutor:
    context = get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_begin)


def _begin() -> None:
    import logging

    import torch

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # timm warns about renamed modules
    logging.disable(logging.ERROR)


def _rows(names: Sequence[str]) -> list[Backbone]:
    from archfront.search.catalog.describe import describe
    from archfront.trainers.networks.meta_cache import MetaCache

    with MetaCache():  # architectures of one family are made of the same blocks
        return [describe(name) for name in names]
