"""``archfront cluster``: the nodes of a cluster or a queue, and whether a study can use them."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from archfront.search.commands.consoles import echo, print_table, wide_console
from archfront.search.commands.device_text import composed_config
from archfront.search.commands.queue_text import print_queue
from archfront.search.config.settings import train_threads
from archfront.search.engine.node_facts import NodeFacts
from archfront.search.engine.placement import Fit
from archfront.search.engine.ray_check import NodeAnswer, check_cluster
from archfront.search.errors import ConfigError
from archfront.search.prepare.make_engine import MOST_WORKERS, cluster_needs
from archfront.search.report.fitted_table import Column, FittedTable, Kind

TEXT = """\
  check    asks every node for its versions, cores, memory, GPUs, labels, device and clock, and
           whether it sees the data and the root or gets the files; exit status 1 where something
           does not fit.
           With engine=submitit it shows SLURM's partitions, and has a job of each kind say so

examples:
  archfront cluster check
  archfront cluster check --address ray://head:10001 data.root=photos
  archfront cluster check engine.threads=4 engine.labels='{pool: fast}' --json
  archfront cluster check engine=submitit engine.partition=batch data.root=/shared/photos
"""
WIDTH = 140  # columns of a table that is not shown in a terminal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``archfront cluster`` takes."""
    parser.epilog = TEXT
    parser.add_argument("action", choices=["check"], metavar="ACTION", help="see below")
    parser.add_argument(
        "words",
        nargs="*",
        metavar="word",
        help="group=name or option=value of the study that is to run there",
    )
    parser.add_argument(
        "--address",
        metavar="ADDRESS",
        help="the cluster: auto (default), local, HOST:6379 or ray://HOST:10001",
    )
    parser.add_argument("--json", action="store_true", help="as JSON")


def call(arguments: argparse.Namespace) -> int:
    """Print the nodes and what does not fit; return the exit status."""
    names_engine = any(word.startswith("engine=") for word in arguments.words)
    words = [*([] if names_engine else ["engine=ray"]), *arguments.words]
    if arguments.address is not None:
        words.append(f"engine.address={arguments.address}")
    config = composed_config(words, None)
    if config.engine.name == "submitit":
        return print_queue(config, is_json=arguments.json)
    if config.engine.name != "ray":
        raise ConfigError(
            f"engine: this checks engine=ray or engine=submitit; got {config.engine.name}, which "
            "has no nodes."
        )
    found, problems = check_cluster(
        cluster_needs(config),
        workers=config.engine.workers or MOST_WORKERS,
        threads=train_threads(config),
    )
    if arguments.json:
        content = {"nodes": [_record(each) for each in found], "problems": problems}
        echo(json.dumps(content, indent=2))
    else:
        print_table(wide_console(WIDTH), _table(found))
        lines = [f"{a.node.name}: {text}" for a in found for text in (*a.notes, *a.problems)]
        for line in lines + problems:
            echo(line)
    return 1 if problems or any(each.problems for each in found) else 0


def _record(answer: NodeAnswer) -> dict[str, Any]:
    fit = answer.fit
    return {
        **asdict(answer.node),
        "labels": dict(answer.node.labels),
        "facts": None if answer.facts is None else asdict(answer.facts),
        "clock_s": round(answer.clock_s, 3),
        "trainings": 0 if fit is None else fit.slots,
        "measures": fit is not None and fit.measures,
        "remark": "" if fit is None else str(fit),
        "files": list(answer.notes),
        "problems": list(answer.problems),
    }


def _table(found: Sequence[NodeAnswer]) -> FittedTable:
    ranks = {"node": 0, "trainings": 0, "measures": 0, "cores": 1, "memory": 1, "device": 2}
    ranks |= {"GPUs": 1, "labels": 1, "sees": 2, "clock": 4}
    kinds: dict[str, Kind] = {"node": "key", "labels": "words", "device": "words"}
    rows = [_row(each) for each in found]
    names = list(rows[0]) if rows else list(ranks)
    columns = [Column(name, ranks.get(name, 3), kinds.get(name, "number")) for name in names]
    table = FittedTable("Nodes of the cluster", columns)
    for row in rows:
        table.add_row(*row.values())
    return table


def _row(answer: NodeAnswer) -> Mapping[str, str]:
    node, facts, fit = answer.node, answer.facts, answer.fit
    versions = {} if facts is None else facts.versions
    return {
        "node": node.name,
        "trainings": "" if fit is None else str(fit.slots),
        "measures": "" if fit is None else ("yes" if fit.measures else "no"),
        "cores": f"{node.cores:g}",
        "memory": f"{node.memory_gb:.1f} GiB",
        "GPUs": f"{node.gpus}{_of_memory(facts)}",
        "labels": ", ".join(f"{k}={v}" for k, v in sorted(node.labels.items())),
        "sees": "" if facts is None or fit is None else _seen(facts, fit),
        "Python": "" if facts is None else facts.python,
        "Ray": versions.get("ray", ""),
        "archfront": versions.get("archfront", ""),
        "torch": versions.get("torch", ""),
        "clock": "" if facts is None else f"{answer.clock_s:+.1f} s",
        "free": "" if facts is None else f"{facts.free_disk_gb:.0f} GiB",
        "device": "" if facts is None else str(facts.device),
    }


def _of_memory(facts: NodeFacts | None) -> str:
    """Return the memory of a node's GPUs behind their number, where it is known."""
    return (
        f" of {facts.gpu_memory_gb:.1f} GiB" if facts is not None and facts.gpu_memory_gb else ""
    )


def _seen(facts: NodeFacts, fit: Fit) -> str:
    """Return whether a node sees the folders, or gets their files, in a word or two."""
    if fit.sent:
        return "gets files"
    return "not all" if facts.unseen else "all"
