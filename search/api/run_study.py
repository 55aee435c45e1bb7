"""A study run from a program or a notebook, as ``archfront run`` runs it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from archfront.search.api.study_handle import Study
from archfront.search.commands.consoles import new_console, print_note, wide_console
from archfront.search.commands.run import WIDTH, config_of
from archfront.search.config.value_words import words_of
from archfront.search.errors import StudyStoppedError


def run(
    *options: str | Mapping[str, Any],
    config: str | Path | None = None,
    config_dir: str | Path | Iterable[str | Path] = (),
    quiet: bool = False,
) -> Study:
    """Run a study, or go on with the one of the same name, and return it when it ends.

    Args:
        options: The words of ``archfront run``, such as ``"data.root=photos"``, and mappings of
            the same, such as ``{"data": {"root": "photos"}, "budget.minutes": 30}``. Of two values
            for one option the last one counts.
        config: A composed configuration, such as a study's ``study.yaml``.
        config_dir: Folders with yaml files of your own.
        quiet: Whether nothing is printed.

    Raises:
        ConfigError: With everything that is wrong with the options.
        StudyError: If the study cannot start or go on.
        StudyStoppedError: If the machine did not let it go on, too many candidates failed in a
            row, or nothing could be trained; what was finished is recorded, and the same call
            goes on.
        KeyboardInterrupt: After the study has been interrupted and everything is recorded; the
            same call goes on.
    """
    from archfront.search.commands.launch import launch

    folders = [config_dir] if isinstance(config_dir, str | Path) else config_dir
    asked = config_of(
        words_of(options),
        config_dirs=[Path(folder) for folder in folders],
        config_file=None if config is None else Path(config),
        tell=None if quiet else print_note,
    )
    result = launch(asked, new_console(quiet=True) if quiet else wide_console(WIDTH))
    if result.state == "interrupted":
        raise KeyboardInterrupt
    if result.state == "stopped":
        raise StudyStoppedError(f"The study {asked.study!r} is stopped: {result.reason}")
    return Study(asked.study, Path(asked.tracking.root), asked.tracking.storage_url)
