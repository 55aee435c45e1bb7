"""A study on a server of ``archfront serve``, by the words of ``archfront run``."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any

from archfront.search.commands.consoles import echo, print_note
from archfront.search.commands.flags import collecting, flag_problems
from archfront.search.commands.server_connection import ServerConnection, read_token
from archfront.search.commands.watch import watch
from archfront.search.config.compose import GROUPS
from archfront.search.errors import ConfigError
from archfront.trainers.words import quoted

# Flags of archfront run that say where files of this machine lie, or that print without a server.
LOCAL = ("config", "config_dir", "cfg", "json", "dry_run")


def run_on_server(arguments: argparse.Namespace) -> int:
    """Make a study on a server, follow it until it ends, and return the exit status.

    Raises:
        ConfigError: With every problem of the words and flags.
        RequestError: If the server refuses the study.
        ServiceError: If the server cannot be reached.
    """
    given = [name for name in LOCAL if getattr(arguments, name)]
    problems = flag_problems(dict.fromkeys(given, "it goes with a study here, not with --server."))
    with collecting(problems):
        connection = ServerConnection(arguments.server, read_token(arguments.token_file))
    with collecting(problems):
        body = asked_body(arguments.words)
    if problems:
        raise ConfigError(*problems)
    made = connection.post("studies", body=body)
    print_note(f"{connection.url} runs the study {made['name']!r}; Ctrl-C leaves it running.")
    if arguments.detach:
        echo(made["name"])
        return 0
    return watch(connection, made["name"])


def asked_body(words: Iterable[str]) -> dict[str, Any]:
    """Return the request for the study that words ask for.

    Raises:
        ConfigError: With every word that is none, or if the study has no name.
    """
    problems, choices, options = [], {}, {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            problems.append(f"{quoted(word)}: group=name or option=value is needed.")
        elif name in GROUPS:
            choices[name] = value
        else:
            options[name] = value
    study = options.pop("study", None)
    if study is None:
        problems.append("study: a server needs the name of the study, as study=flowers.")
    if problems:
        raise ConfigError(*problems)
    return {"name": study, "choices": choices, "options": options}
