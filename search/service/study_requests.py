"""From a request for a study to its checked configuration, or to every problem at once."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from archfront.search.config import compose
from archfront.search.config.build import build, completed
from archfront.search.config.compose import GROUPS
from archfront.search.config.option_types import AUTO
from archfront.search.config.override_words import is_option
from archfront.search.config.schema import Config
from archfront.search.config.value_words import leaves, text_of
from archfront.search.errors import ConfigError, unknown
from archfront.search.records.postgres import is_postgres
from archfront.search.service.bodies import NAME_FIELD
from archfront.search.service.permitted_options import (
    config_problems,
    option_problem,
    refusal_of,
)
from archfront.search.service.service_settings import ServiceSettings
from archfront.trainers.words import quoted


@dataclass(frozen=True)
class AskedStudy:
    """A study that a request asks for.

    Attributes:
        config: Its configuration.
        notes: What was chosen where nothing was given, a line each.
        command: The equal command line.
    """

    config: Config
    notes: tuple[str, ...]
    command: str


def asked_study(
    settings: ServiceSettings,
    name: str,
    choices: Mapping[str, str],
    options: Mapping[str, Any],
) -> AskedStudy:
    """Return the study of a request.

    Args:
        settings: Those of the server.
        name: Name of the study.
        choices: Names of yaml files by their group.
        options: Values by dotted option; mappings may be nested.

    Raises:
        ConfigError: With every problem, each after its option.
    """
    more, option_words, left_out = _option_words(settings, options)
    # A group among the options is told, and what follows is checked as if it had been chosen.
    meant = {option: value for option, value in options.items() if _is_meant(option, value)}
    problems, words = _choice_words({**meant, **choices})
    problems += more
    words = [f"study={name}", *words, *option_words]
    try:
        composed = compose.compose([*words, *server_words(settings)])
        config = _built(settings, composed.content, composed.texts)
    except ConfigError as error:
        raise ConfigError(*problems, *_others(error, left_out)) from error
    if problems:
        raise ConfigError(*problems)
    command = shlex.join(["archfront", "run", *words, f"tracking.root={settings.root}"])
    return AskedStudy(config, composed.notes, command)


def changed_study(
    settings: ServiceSettings, content: dict[str, Any], name: str, options: Mapping[str, Any]
) -> Config:
    """Return the configuration of another study with options changed, under a new name.

    Args:
        settings: Those of the server.
        content: The other study's composed configuration.
        name: Name of the new study.
        options: Values by dotted option.

    Raises:
        ConfigError: With every problem, each after its option.
    """
    problems, words, left_out = _option_words(settings, options)
    try:
        given = completed({**content, "tracking": tracking_of(settings)})
        composed = compose.changed(given, [f"study={name}", *words])
        config = _built(settings, composed.content, composed.texts)
    except ConfigError as error:
        raise ConfigError(*problems, *_others(error, left_out)) from error
    if problems:
        raise ConfigError(*problems)
    return config


def server_words(settings: ServiceSettings) -> list[str]:
    """Return the words of where this server keeps the records of studies."""
    words = [f"tracking.root={settings.root}"]
    if settings.storage_url is not None and is_postgres(settings.storage_url):
        words.append("tracking=postgres")
    for option in ("storage_url", "mlflow_uri"):
        if (value := getattr(settings, option)) is not None:
            words.append(f"tracking.{option}={value}")
    return words


def tracking_of(settings: ServiceSettings) -> dict[str, Any]:
    """Return the group of options of where this server keeps the records of studies."""
    return dict(_tracking(settings))


@lru_cache(maxsize=8)
def _tracking(settings: ServiceSettings) -> dict[str, Any]:
    """Return the same, composed once: that takes longer than most requests."""
    content: dict[str, Any] = compose.compose(server_words(settings)).content["tracking"]
    return content


def _built(settings: ServiceSettings, content: dict[str, Any], texts: frozenset[str]) -> Config:
    """Return the configuration, checked for a request and within the server's limits."""
    config = build(content, texts=texts)
    problems = config_problems(settings, config)
    engine, most = config.engine, settings.study_threads
    workers = engine.workers or 1
    if engine.name in ("ray", "submitit"):  # for any address or account that a request names
        problems.append(
            f"engine: this server runs studies on its own machine; got {engine.name}. Use "
            "engine=processes."
        )
    if most is not None and engine.threads is None and workers <= most:
        config = replace(config, engine=replace(engine, threads=most // workers))
    elif most is not None and workers * (engine.threads or 1) > most:
        problems.append(
            f"engine.threads: this server gives a study {most} threads; got {workers} "
            f"workers with {engine.threads or 1} threads each. Use fewer."
        )
    if problems:
        raise ConfigError(*problems)
    return config


def _choice_words(choices: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Return the problems of chosen groups, and the words of the good ones."""
    problems, words = [], []
    for group, name in choices.items():
        reason = refusal_of(group)
        known = compose.choices(group) if group in GROUPS else []
        known += [AUTO] if group == "data" else []
        if group not in GROUPS and "." in group:
            problems.append(f"{group}: an option is given in options, not in choices.")
        elif group not in GROUPS:
            problems.append(f"{group}: {unknown('group', group, GROUPS)}")
        elif reason is not None:
            problems.append(f"{group}: a request cannot choose it, since {reason}.")
        elif name not in known:
            problems.append(f"{group}={name}: {unknown(group, name, known)}")
        else:
            words.append(f"{group}={name}")
    return problems, words


def _option_words(
    settings: ServiceSettings, options: Mapping[str, Any]
) -> tuple[list[str], list[str], set[str]]:
    """Return the problems of options, the words of the good ones and the names of the others."""
    problems, words, left_out = [], [], set()
    for option, value in leaves(options):
        problem: str | None
        if option in GROUPS and refusal_of(option) is None:
            chosen = json.dumps({option: text_of(value)})
            problem = f'{option}: a group is chosen in choices, as "choices": {chosen}.'
        elif not is_option(option):
            problem = (
                f"{quoted(option)}: an option is named as group.option, with letters, digits and "
                "underscores."
            )
        else:
            problem = option_problem(settings, option, value)
        if problem is None:
            words.append(f"{option}={text_of(value)}")
        else:
            problems.append(problem)
            left_out.add(option)
    return problems, words, left_out


def _is_meant(option: str, value: Any) -> bool:
    """Return whether an option and its value are a group and one of its yaml files."""
    if option not in GROUPS or refusal_of(option) is not None:
        return False
    return value in compose.choices(option)


def _others(error: ConfigError, left_out: set[str]) -> list[str]:
    """Return the problems that are not of options which were left out; a name is its field's."""
    return [
        re.sub(r"^study\b", NAME_FIELD, text)
        for text in error.problems
        if text.partition(":")[0] not in left_out
    ]
