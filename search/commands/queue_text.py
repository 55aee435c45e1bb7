"""The partitions of a queue and what its nodes say, for ``archfront cluster check``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict

from archfront.search.commands.consoles import echo, print_table, wide_console
from archfront.search.config.schema import Config
from archfront.search.config.settings import train_threads
from archfront.search.engine.slurm_commands import Partition
from archfront.search.engine.submitit_check import QueueAnswer, QueueReport, check_queue
from archfront.search.prepare.make_engine import queue_needs
from archfront.search.report.fitted_table import Column, FittedTable, Kind
from archfront.trainers.words import count_of

WIDTH = 140  # columns of a table that is not shown in a terminal


def print_queue(config: Config, *, is_json: bool) -> int:
    """Print what a queue says and what does not fit; return the exit status."""
    report = check_queue(queue_needs(config), threads=train_threads(config))
    problems = [*report.problems, *(p for each in report.answers for p in _problems(each))]
    if is_json:
        echo(json.dumps({**asdict(report), "all_problems": problems}, indent=2, default=str))
        return 1 if problems else 0
    if report.version:
        echo(report.version)
    if report.partitions:
        print_table(wide_console(WIDTH), _table(report))
    for answer in report.answers:
        if answer.facts is not None:
            echo(f"{answer.purpose}: {_words(answer)}")
    for line in problems:
        echo(line)
    return 1 if problems else 0


def _problems(answer: QueueAnswer) -> list[str]:
    where = f"{answer.purpose}: {answer.node} " if answer.facts is not None else ""
    return [
        problem if problem.startswith("engine") else f"{where}{problem}"
        for problem in answer.problems
    ]


def _words(answer: QueueAnswer) -> str:
    """Return what a node says of itself in a line."""
    facts = answer.facts
    assert facts is not None
    sees = f"does not see {', '.join(facts.unseen)}" if facts.unseen else "sees all folders"
    gpus = f"GPUs of {facts.gpu_memory_gb:.1f} GiB, " if facts.gpu_memory_gb else ""
    return (
        f"{answer.node}, {count_of(facts.cores, 'core')}, "
        f"{facts.free_memory_gb:.1f} GiB of memory free, {gpus}Python {facts.python}, "
        f"archfront {facts.versions['archfront']}, torch {facts.versions['torch']}, "
        f"{sees}; {facts.device}"
    )


def _table(report: QueueReport) -> FittedTable:
    ranks = {"partition": 0, "nodes": 0, "time": 0, "state": 1, "CPUs": 1, "memory": 1}
    ranks |= {"GPUs": 2, "features": 2}
    kinds: dict[str, Kind] = {"partition": "key", "features": "words", "GPUs": "words"}
    columns = [Column(name, rank, kinds.get(name, "number")) for name, rank in ranks.items()]
    table = FittedTable("Partitions", columns)
    for each in report.partitions:
        table.add_row(*_row(each).values())
    return table


def _row(nodes: Partition) -> Mapping[str, str]:
    return {
        "partition": f"{nodes.name}{' (default)' if nodes.is_default else ''}",
        "nodes": str(nodes.nodes),
        "time": nodes.time_limit,
        "state": nodes.state if nodes.available == "up" else nodes.available,
        "CPUs": str(nodes.cores),
        "memory": f"{nodes.memory_mb / 1024:.1f} GiB",
        "GPUs": nodes.gpus,
        "features": ", ".join(nodes.features),
    }
