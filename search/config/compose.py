"""The composition of yaml files and command-line overrides, by Hydra alone.

Hydra composes the groups; values never pass through its grammar, so a path with spaces, commas,
equals signs or parentheses needs no quoting of its own.
"""

from __future__ import annotations

import contextlib
import difflib
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from archfront.search.config.auto_groups import reader_of, space_of
from archfront.search.config.hidden_urls import with_passwords
from archfront.search.config.interpolations import check_references, not_composed
from archfront.search.config.moved_root import follow_root
from archfront.search.config.option_types import AUTO
from archfront.search.config.override_words import (
    hydra_quoted,
    is_option,
    put_values,
    stray_problem,
    with_strays,
)
from archfront.search.config.unfit_yaml import unfit_files, unfit_problems
from archfront.search.config.yaml_names import misread_names
from archfront.search.errors import ConfigError
from archfront.search.records.paths import cache_file
from archfront.trainers.files import plain_path, read_text
from archfront.trainers.words import WIDTH, quoted, reason_of, shortened
from archfront.trainers.yaml_text import YAML_MB, parse_yaml

GROUPS = (
    "task",
    "data",
    "hardware",
    "space",
    "sampler",
    "budget",
    "engine",
    "tracking",
    "experiment",
)

_HYDRA = threading.Lock()


@dataclass(frozen=True)
class Composed:
    """A composed configuration.

    Attributes:
        content: Its options by group.
        texts: Paths of the options whose value is command-line text.
        notes: What was chosen where nothing was given, and why, a line each.
    """

    content: dict[str, Any]
    texts: frozenset[str]
    notes: tuple[str, ...] = ()


def conf_dir() -> Path:
    """Return the folder of the shipped yaml files."""
    return Path(__file__).parents[2] / "conf"


def choices(group: str, extra: Sequence[Path] = ()) -> list[str]:
    """Return the names that ``group=`` accepts."""
    folders = [conf_dir(), *extra]
    return sorted({path.stem for folder in folders for path in (folder / group).glob("*.yaml")})


def compose(words: Iterable[str], *, config_dirs: Sequence[Path] = ()) -> Composed:
    """Return the configuration composed of ``group=name`` and ``group.option=value`` overrides.

    Args:
        words: The overrides; of two for one name the last wins.
        config_dirs: Folders of additional yaml files, laid out like the shipped ones.

    Raises:
        ConfigError: With every word that cannot be used.
    """
    folders = [plain_path(folder) for folder in config_dirs]
    problems = _folder_problems(folders)
    groups, values = _sort(words, folders, problems)
    if problems:
        raise ConfigError(*problems)
    notes = _choose(groups, values, folders)
    return Composed(_hydra(groups, values, folders), frozenset(values), notes)


def _choose(
    groups: dict[str, str], values: Mapping[str, str], folders: Sequence[Path]
) -> tuple[str, ...]:
    """Add the space and the format of the data where they follow from the task and the files.

    An experiment has its own; ``data=auto`` is asked for.

    Returns:
        What was chosen, a line each.

    Raises:
        ConfigError: If the files have no format that the task learns from, or several.
    """
    task = _task(groups, folders)
    has_own = "experiment" in groups
    if "task" in groups and "space" not in groups and not has_own:
        groups["space"] = space_of(task)
    is_auto = groups.get("data", None if has_own else AUTO) == AUTO
    if not is_auto:
        return ()
    groups.pop("data", None)
    if "data.reader" in values:
        return ()
    groups["data"], note = reader_of(task, values)
    return () if note is None else (note,)


def _task(groups: Mapping[str, str], folders: Sequence[Path]) -> str:
    """Return the name of the task, which a file of the user's own may say."""
    chosen = groups.get("task", "classification")
    for folder in folders:
        path = folder / "task" / f"{chosen}.yaml"
        if path.is_file():
            return str(_mapping(path).get("name", chosen))
    return chosen


def load(path: Path, words: Iterable[str]) -> Composed:
    """Return a composed configuration from a file, with values changed by overrides.

    That of a study beside its records has its own root, wherever the root was moved since.

    Raises:
        ConfigError: If the file is no configuration, or with every unusable override.
    """
    try:
        content = _mapping(path.expanduser())
    except ValueError as error:
        raise ConfigError(f"--config: {error}") from error
    follow_root(plain_path(path), content)
    return changed(with_passwords(content), words)


def changed(content: dict[str, Any], words: Iterable[str]) -> Composed:
    """Return a composed configuration with values changed by overrides; ``content`` is changed.

    Raises:
        ConfigError: With every unusable override.
    """
    problems: list[str] = []
    groups, values = _sort(words, (), problems)
    problems += [
        f"{group}={shortened(name, WIDTH)}: a composed configuration has its groups already. "
        f"Change a value with {group}.option=value."
        for group, name in groups.items()
    ]
    problems += put_values(content, values)
    if problems:
        raise ConfigError(*problems)
    return Composed(content, frozenset(values))


def _mapping(path: Path) -> dict[str, Any]:
    """Return the content of a yaml file of options.

    Raises:
        ValueError: If the file has no such content, with the reason in one line.
    """
    try:
        text = read_text(path, YAML_MB)
        content = parse_yaml(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ValueError(f"{path}{where}: {shortened(str(error.problem), 200)}.") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{path} cannot be read: {reason_of(error)}.") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} has no options, as 'name: value'; got {quoted(content)}.")
    misread = misread_names(text)
    if misread:
        raise ValueError(
            f"{path} has names of classes that YAML reads as other values: {', '.join(misread)}. "
            f"Put them between quotes, as '{misread[0]}'."
        )
    return content


def _folder_problems(folders: Sequence[Path]) -> list[str]:
    """Return the problems of additional folders: absent, or with a name that is taken."""
    problems = []
    seen = {(group, name): conf_dir() for group in GROUPS for name in choices(group)}
    for folder in folders:
        if not folder.is_dir():
            problems.append(f"--config-dir: there is no folder {folder}.")
            continue
        problems += unfit_files(folder)
        for group in GROUPS:
            for path in sorted((folder / group).glob("*.yaml")):
                first = seen.setdefault((group, path.stem), folder)
                if first != folder:
                    problems.append(
                        f"--config-dir: {path} has the name of a file in {first}, so that "
                        f"{group}={path.stem} could mean both. Give it another name."
                    )
    return problems


def _sort(
    words: Iterable[str], config_dirs: Sequence[Path], problems: list[str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the chosen groups and the values by path."""
    groups: dict[str, str] = {}
    values: dict[str, str] = {}
    for word, strays in with_strays(words):
        if strays:
            problems.append(stray_problem(word, strays))
        name, equals, value = word.partition("=")
        if not equals or not is_option(name):
            problems.append(
                f"{quoted(word)}: an override has the form group=name or group.option=value; "
                f"groups: {', '.join(GROUPS)}."
            )
        elif name in GROUPS:
            known = choices(name, config_dirs) + ([AUTO] if name == "data" else [])
            if value in known:
                groups[name] = value
                problems += _unreadable(name, value, config_dirs)
                continue
            begun = sorted((one for one in known if value and one.startswith(value)), key=len)
            near = begun[:1] or difflib.get_close_matches(value, known, n=1)
            hint = f" Did you mean {name}={near[0]}?" if near else ""
            problems.append(
                f"{name}={shortened(value, WIDTH)}: there is no such choice.{hint} "
                f"Known: {', '.join(known)}."
            )
        else:
            values[name] = value
    return groups, values


def _unreadable(group: str, name: str, folders: Sequence[Path]) -> list[str]:
    """Return the problems of a chosen yaml file in the user's folders."""
    problems = []
    for folder in folders:
        path = folder / group / f"{name}.yaml"
        if path.exists() and not unfit_problems(path):  # which is told already
            try:
                _mapping(path)
            except ValueError as error:
                problems.append(f"{group}={name}: {error}")
    return problems


def _hydra(
    groups: dict[str, str], values: dict[str, str], folders: Sequence[Path]
) -> dict[str, Any]:
    """Compose the groups, set the values, resolve interpolations."""
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    OmegaConf.register_new_resolver("archfront.cache", _cache_file, replace=True)
    overrides = [f"{group}={name}" for group, name in groups.items()]
    if folders:
        paths = ",".join(hydra_quoted(f"file://{folder}") for folder in folders)
        overrides.append(f"hydra.searchpath=[{paths}]")
    # Values of the command line stand as marks while OmegaConf reads the yaml files' own ${...}.
    marks = {f"\0{number}\0": value for number, value in enumerate(values.values())}
    try:
        # Files of the user's own may change while this process runs.
        composed = _composed.__wrapped__ if folders else _composed
        content = _unmark(composed(conf_dir(), tuple(overrides)), {})  # a copy, keys as text
        problems = put_values(content, dict(zip(values, marks, strict=True)))
        if not problems:
            check_references(content)
            config = OmegaConf.create(content)
            content = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise not_composed(error, error.full_key or "") from error
    except RecursionError as error:
        raise ConfigError(
            "The yaml files do not compose: a defaults list leads to itself."
        ) from error
    except (HydraException, yaml.YAMLError, ValueError) as error:
        reason = (str(error) or str(error.__cause__)).split("\nConfig search path")[0]
        reason = " ".join(reason.split())
        raise ConfigError(f"The yaml files do not compose: {reason}") from error
    if problems:
        shown = {mark: shortened(value, WIDTH) for mark, value in marks.items()}
        raise ConfigError(*(_unmark(problem, shown) for problem in problems))
    unmarked: dict[str, Any] = _unmark(content, marks)
    return unmarked


@lru_cache(maxsize=64)
def _composed(folder: Path, overrides: tuple[str, ...]) -> Any:
    """Return the content that Hydra composes, its interpolations as they stand."""
    import hydra
    from omegaconf import OmegaConf

    with _exclusive_hydra(), hydra.initialize_config_dir(str(folder), version_base="1.3"):
        config = hydra.compose("config", overrides=list(overrides))
    return OmegaConf.to_container(config, resolve=False)


def _cache_file(name: str) -> str:
    """Return what ``${archfront.cache:NAME}`` stands for in yaml files."""
    return str(cache_file(name))


@contextlib.contextmanager
def _exclusive_hydra() -> Iterator[None]:
    """Set aside the one Hydra that a process can have, and let one thread compose at a time."""
    from hydra.core.global_hydra import GlobalHydra

    with _HYDRA:
        callers, GlobalHydra.instance().hydra = GlobalHydra.instance().hydra, None
        try:
            yield
        finally:
            GlobalHydra.instance().hydra = callers


def _unmark(value: Any, marks: dict[str, str]) -> Any:
    """Return nested content with the marks in its texts replaced by the values marked."""
    if isinstance(value, dict):
        return {str(key): _unmark(item, marks) for key, item in value.items()}
    if isinstance(value, list):
        return [_unmark(item, marks) for item in value]
    if isinstance(value, str):
        return re.sub("\0[0-9]+\0", lambda found: marks.get(found[0], found[0]), value)
    return value
