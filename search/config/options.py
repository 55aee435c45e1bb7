"""The page of all options and yaml files, docs/options.md."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from archfront.search.config.build import options
from archfront.search.config.compose import GROUPS, choices, conf_dir

# Longest default that a cell of a table takes, in characters; longer lists are cut.
CELL = 60

TOP = """\
# Options

Made by `make docs` from the configuration's schema and the yaml files; do not edit.

An override of `archfront run` is `group=name`, which chooses a yaml file, or
`group.option=value`, which changes one value. Of two overrides for one thing the last wins.
`null` means none, a list is written `a,b` or `[a, b]`, and `--cfg job` prints the composed
configuration. `--config-dir DIR` adds files of your own, like `DIR/data/flowers.yaml`, which may
begin with `defaults: [folder]` to change only some values.

`budget`, `engine` and `tracking` may change when a study is resumed; the rest is its identity.
"""

# What is said of the file that config.yaml chooses, where something else chooses too.
MARKS = {"data": "", "space": " (default; with `task=NAME` the space of the task)"}


def page() -> str:
    """Return the page as Markdown."""
    parts = [TOP, "## The study\n", *_table(""), ""]
    for group in GROUPS:
        parts += [f"## {group}\n", *_files(group), ""]
        if group != "experiment":
            parts += [*_table(group), ""]
    return "\n".join(parts)


def _files(group: str) -> Iterator[str]:
    """Yield one line for each yaml file of a group."""
    chosen = chosen_file(group)
    if group == "data":
        yield "- `data=auto` (default): by the task, and by the files in `data.root`"
    for name in choices(group):
        mark = MARKS.get(group, " (default)") if name == chosen else ""
        yield f"- `{group}={name}`{mark}: {file_meaning(group, name).replace('<', '&lt;')}"


def _table(group: str) -> Iterator[str]:
    """Yield the rows of a group's options, or of the options outside groups."""
    defaults = _values(
        conf_dir() / (f"{group}/{chosen_file(group)}.yaml" if group else "config.yaml")
    )
    yield "| option | value | default | meaning |"
    yield "|---|---|---|---|"
    for path, kind, meaning in options():
        *parents, _ = path.split(".")
        if parents[:1] == ([group] if group else []):
            default = _default(defaults, path.removeprefix(f"{group}.").split("."))
            cells = (f"`{path}`", kind, default, meaning)
            yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def chosen_file(group: str) -> str | None:
    """Return the file that ``config.yaml`` chooses for a group."""
    for entry in _read(conf_dir() / "config.yaml")["defaults"]:
        if isinstance(entry, dict) and group in entry:
            return str(entry[group])
    return None


def _default(content: Any, names: list[str]) -> str:
    """Return the value at a path of a yaml file, as a cell."""
    for name in names:
        content = content[name]
    text = yaml.safe_dump(content, default_flow_style=True, width=10_000)
    text = text.removesuffix("\n").removesuffix("\n...")
    if len(text) <= CELL or not isinstance(content, list):
        return f"`{text}`"
    return f"`{text[:CELL].rsplit(',', 1)[0]}, ...]` ({len(content)} in all)"


def _values(path: Path) -> dict[str, Any]:
    """Return the values of a yaml file, over those of the parts that it begins with."""
    content = _read(path)
    values: dict[str, Any] = {}
    for entry in content.get("defaults", ()):
        if isinstance(entry, str) and entry.endswith("@_here_"):
            values |= _read(path.parent / f"{entry.removesuffix('@_here_')}.yaml")
    return values | content


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


def file_meaning(group: str, name: str) -> str:
    """Return what a yaml file is for: the first line of its comment."""
    path = conf_dir() / group / f"{name}.yaml"
    lines = path.read_text(encoding="utf-8").splitlines()
    comments = (line.lstrip("# ") for line in lines if line.startswith("#"))
    return next((line for line in comments if not line.startswith("@package")), "")


if __name__ == "__main__":
    print(page(), end="")
