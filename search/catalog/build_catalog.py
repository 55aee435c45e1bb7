"""The catalog of the installed timm, built by processes whose crash costs a single row."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from archfront.search.catalog.backbones import Backbone
from archfront.search.catalog.catalog_files import read, timm_version, write
from archfront.search.errors import ConfigError

# The most billions of multiply-accumulates of a network whose effective fields are measured.
FIELDS_MACS_G = 1.5
# Rows of one job. When a process dies, its rows are lost and built again one by one.
CHUNK = 12

Progress = Callable[[int, int], None]
# The name of a row that is to be made, or a row that lacks something.
Item = TypeVar("Item", str, Backbone)


def build(path: Path, *, workers: int = 2, progress: Progress | None = None) -> list[Backbone]:
    """Write the catalog of the installed timm and return its rows, in timm's order.

    Receptive fields are not in it; ``add_fields`` adds them.

    Args:
        path: File to write when all rows are known.
        workers: Number of processes, each of one thread.
        progress: Called with the number of rows done and of all rows.
    """
    import timm

    names = timm.list_models()
    rows: dict[str, Backbone] = {}
    for done in _in_processes(_rows, _chunks(names), workers):
        rows.update((row.name, row) for row in done)
        if progress is not None:
            progress(len(rows), len(names))
    ordered = [rows[name] for name in names]
    write(path, ordered, timm.__version__)
    return ordered


def add_fields(
    path: Path,
    *,
    macs_g_max: float = FIELDS_MACS_G,
    workers: int = 2,
    progress: Progress | None = None,
) -> list[Backbone]:
    """Write receptive fields into a catalog where they lack, and return its rows.

    The file is written after every few rows, so that a second call goes on where one was stopped.

    Args:
        path: File of the catalog.
        macs_g_max: The most billions of multiply-accumulates of a network whose effective fields
            are measured.
        workers: Number of processes, each of one thread.
        progress: Called with the number of rows done and of all rows that lacked something.

    Raises:
        ConfigError: If there is no such catalog, or it is of another timm than the installed one.
    """
    import timm

    if not path.is_file():
        raise ConfigError(f"There is no catalog {path}. Make it first: archfront catalog build.")
    if timm_version(path) != timm.__version__:
        raise ConfigError(
            f"{path} was built from timm {timm_version(path)}, and timm {timm.__version__} is "
            "installed. Build it anew: archfront catalog build."
        )
    rows = read(path, {})  # published accuracies are in a file of their own
    lacking = [row for row in rows.values() if _lacks_fields(row, macs_g_max)]
    lacking.sort(key=lambda row: row.costs_at(row.input_size).macs_g)  # small ones are used most
    n_done = 0
    chunks = _parts(lacking)
    for done in _in_processes(partial(_with_fields, macs_g_max), chunks, workers):
        rows.update((row.name, row) for row in done)
        write(path, rows.values(), timm.__version__)
        n_done += len(done)
        if progress is not None:
            progress(n_done, len(lacking))
    return list(rows.values())


def _lacks_fields(row: Backbone, macs_g_max: float) -> bool:
    is_small = row.is_built and row.costs_at(row.input_size).macs_g <= macs_g_max
    return not row.receptive_fields or (is_small and row.effective_size is None)


def _chunks(names: Sequence[str]) -> list[list[str]]:
    """Return lists of names of one family each, the longest first."""
    from timm.models import model_entrypoint

    families: dict[str, list[str]] = {}
    for name in names:
        families.setdefault(model_entrypoint(name).__module__, []).append(name)
    chunks = [part for members in families.values() for part in _parts(members)]
    return sorted(chunks, key=len, reverse=True)


def _parts(items: Sequence[Item]) -> list[list[Item]]:
    return [list(items[start : start + CHUNK]) for start in range(0, len(items), CHUNK)]


def _in_processes(
    work: Callable[[list[Item]], list[Backbone]], chunks: list[list[Item]], workers: int
) -> Iterator[list[Backbone]]:
    """Yield what work gives for each chunk; what a process dies of is done again one by one."""
    left = dict(enumerate(chunks))
    pool = _pool(workers)
    try:
        waiting = {pool.submit(work, chunk): number for number, chunk in left.items()}
        for future in as_completed(waiting):
            try:
                rows = future.result()
            except BrokenProcessPool:  # all chunks that had not ended are started again
                continue
            del left[waiting[future]]
            yield rows
    finally:
        pool.shutdown(cancel_futures=True)
    for item in _sorted(item for chunk in left.values() for item in chunk):
        yield [_alone(work, item)]


def _sorted(items: Iterable[Item]) -> list[Item]:
    return sorted(items, key=lambda item: item if isinstance(item, str) else item.name)


def _alone(work: Callable[[list[Item]], list[Backbone]], item: Item) -> Backbone:
    """Return a row from a process of its own; if it dies, that is the row's problem."""
    with _pool(1) as pool:
        future: Future[list[Backbone]] = pool.submit(work, [item])
        try:
            return future.result()[0]
        except BrokenProcessPool:
            died = "the process that built it died"
            if isinstance(item, Backbone):
                return replace(item, problem=f"receptive fields: {died}")
            return Backbone(
                name=item,
                family="?",
                params_m=float("nan"),
                sizes="fixed",
                problem=f"network: {died}",
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


def _with_fields(macs_g_max: float, rows: Sequence[Backbone]) -> list[Backbone]:
    from archfront.search.catalog.describe_fields import with_fields

    return [with_fields(row, macs_g_max) for row in rows]
