"""The checked configuration made from a composed mapping, or every problem at once."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from archfront.search.config.check import Findings, mark, option_paths, option_schemas, read
from archfront.search.config.metric_names import with_our_metric
from archfront.search.config.option_types import OFF
from archfront.search.config.rules import RULES
from archfront.search.config.schema import Config
from archfront.search.config.space_options import RulesConfig
from archfront.search.errors import ConfigError


def build(content: dict[str, Any], *, texts: frozenset[str] = frozenset()) -> Config:
    """Return the checked configuration.

    Args:
        content: Nested mapping, as Hydra composes it.
        texts: Dotted paths whose value came as text from a command line and is read by the
            type of its option.

    Raises:
        ConfigError: With every problem, none twice.
    """
    findings = Findings()
    config: Config = read(Config, mark(content, texts), findings)
    if findings.has_read(("task.name", "task.metric")):
        config = replace(config, task=with_our_metric(config.task))
    problems = list(findings.problems)
    for rule, options_read in RULES.items():
        if findings.has_read(options_read):
            problems += rule(config)
    if problems:
        raise ConfigError(*problems)
    return config


def options() -> list[tuple[str, str, str]]:
    """Return (dotted path, type, help) of every option, in order."""
    return list(option_paths(Config))


def schemas() -> dict[str, dict[str, Any]]:
    """Return the JSON schema of every option by its path: bounds, names, ``auto``."""
    return {path: schema for path, schema, _ in option_schemas(Config)}


# The rules that there were not yet in a study that began before them.
RULES_BEFORE = dict.fromkeys((item.name for item in fields(RulesConfig)), OFF)
# The values of options in a study that began before the options existed.
BEFORE: dict[str, dict[str, Any]] = {
    "data": {
        "outside_root": "forbid",
        "max_pixels": 120_000_000,
        "tiles": None,
        "tile_overlap": 0.2,
        "value_range": [0, 65535],
        "group": None,
    },
    "task": {"init": "random", "norms": "train", "ema": 0},
    "space": {
        "exportable": [],
        "recipe": {"loss": ["plain"], "flips": ["usual"], "layer_decay": [1.0]},
        "rules": RULES_BEFORE,
        "detections": 100,
    },
    "budget": {"rungs": [], "folds": 0},
    "engine": {
        "shared_mb": 0,
        "address": "auto",
        "labels": {},
        "device_label": {},
        "gpus": 0,
        "gpu_memory_gb": None,
        "memory_gb": None,
        "cluster": "slurm",
        "partition": None,
        "account": None,
        "qos": None,
        "constraint": None,
        "device_partition": None,
        "device_constraint": None,
        "job_minutes": 60,
        "idle_minutes": 5,
        "sbatch": {},
        "files": "auto",
        "files_gb": 100,
    },
    "tracking": {"latency_url": None},
}


def completed(stored: dict[str, Any]) -> dict[str, Any]:
    """Return a stored configuration, or part of it, with the options that it lacks."""
    return {
        group: _filled(content, BEFORE[group])
        if group in BEFORE and isinstance(content, dict)
        else content
        for group, content in stored.items()
    }


def _filled(content: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """Return a group with the options that it lacks, and its own groups with theirs."""
    own = {
        name: _filled(value, before[name])
        if isinstance(value, dict) and isinstance(before.get(name), dict)
        else value
        for name, value in content.items()
    }
    return {**before, **own}


def differences(old: dict[str, Any], new: dict[str, Any], path: str = "") -> list[str]:
    """Return one line for each leaf that differs between two nested mappings."""
    lines = []
    for key in sorted({*old, *new}):
        here = f"{path}.{key}" if path else key
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            lines += differences(before, after, here)
        elif before != after:
            lines.append(f"{here}: {before!r} in the study, {after!r} now")
    return lines
