"""The one door to Hydra: command-line words to a composed mapping.

Hydra composes the groups; values never pass through its grammar, so a path with spaces, commas,
equals signs or parentheses needs no quoting of its own.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from search.errors import ConfigError

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


@dataclass(frozen=True)
class Composed:
    """A composed configuration; ``texts`` are the paths whose value is command-line text."""

    content: dict[str, Any]
    texts: frozenset[str]


def conf_dir() -> Path:
    """Return the folder of the shipped yaml files, in the package or beside it in a checkout."""
    here = Path(__file__).resolve().parent
    shipped = here / "conf"
    return shipped if shipped.is_dir() else here.parent / "conf"


def choices(group: str, extra: Sequence[Path] = ()) -> list[str]:
    """Return the names that ``group=`` accepts."""
    folders = [conf_dir(), *extra]
    return sorted({path.stem for folder in folders for path in (folder / group).glob("*.yaml")})


def compose(words: Iterable[str], *, config_dirs: Sequence[Path] = ()) -> Composed:
    """Return the configuration that ``group=name`` and ``path.to.option=value`` words ask for.

    Args:
        words: Overrides; of two for one name the last wins.
        config_dirs: Folders of further yaml files, laid out as the shipped ones.

    Raises:
        ConfigError: With every word that cannot be used.
    """
    problems = [
        f"--config-dir: there is no folder {folder}."
        for folder in config_dirs
        if not folder.is_dir()
    ]
    groups, values = _sort(words, config_dirs, problems)
    if problems:
        raise ConfigError(*problems)
    content = _hydra(groups, values, config_dirs)
    return Composed(content, frozenset(values))


def load(path: Path, words: Iterable[str]) -> Composed:
    """Return a composed configuration from a file, with values changed by words.

    Raises:
        ConfigError: If the file is not one, or for every word that cannot be used.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"--config: {path} cannot be read: {error}.") from error
    if not isinstance(content, dict):
        raise ConfigError(f"--config: {path} has no options; got {type(content).__name__}.")
    problems: list[str] = []
    groups, values = _sort(words, (), problems)
    problems += [
        f"{group}={name}: a composed configuration has its groups already. Change a value with "
        f"{group}.option=value."
        for group, name in groups.items()
    ]
    if problems:
        raise ConfigError(*problems)
    for name, value in values.items():
        *parents, leaf = name.split(".")
        part = content
        for parent in parents:
            part = part.setdefault(parent, {})
        part[leaf] = value
    return Composed(content, frozenset(values))


def _sort(
    words: Iterable[str], config_dirs: Sequence[Path], problems: list[str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the chosen groups and the values by path."""
    groups: dict[str, str] = {}
    values: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name or name[0] in "+~":
            problems.append(
                f"{word!r}: an override has the form group=name or group.option=value; "
                f"groups: {', '.join(GROUPS)}."
            )
        elif name in GROUPS:
            known = choices(name, config_dirs)
            if value in known:
                groups[name] = value
                continue
            near = difflib.get_close_matches(value, known, n=1)
            hint = f" Did you mean {name}={near[0]}?" if near else ""
            problems.append(
                f"{name}={value}: there is no such file.{hint} Known: {', '.join(known)}."
            )
        else:
            values[name] = value
    return groups, values


def _hydra(
    groups: dict[str, str], values: dict[str, str], config_dirs: Sequence[Path]
) -> dict[str, Any]:
    """Compose the groups, set the values, resolve interpolations."""
    import hydra
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    overrides = [f"{group}={name}" for group, name in groups.items()]
    if config_dirs:
        paths = ",".join(_quoted(f"file://{folder.resolve()}") for folder in config_dirs)
        overrides.append(f"hydra.searchpath=[{paths}]")
    try:
        with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
            config = hydra.compose("config", overrides=overrides)
        OmegaConf.set_struct(config, False)
        for path, value in values.items():
            OmegaConf.update(config, path, value.replace("${", "\\${"), force_add=True)
        content = OmegaConf.to_container(config, resolve=True)
    except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        reason = str(error) or str(error.__cause__)
        raise ConfigError(f"The yaml files do not compose: {reason}") from error
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


def _quoted(text: str) -> str:
    """Return ``text`` as a quoted string of Hydra's grammar."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
