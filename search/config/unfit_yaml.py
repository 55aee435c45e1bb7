"""Yaml files of somebody else that Hydra must not read: without an end, or standing for too much.

Hydra reads more files than words name: lists of defaults lead from one to the next.
"""

from __future__ import annotations

import os
from pathlib import Path

import yaml

from archfront.trainers.files import UnfitFileError, read_text
from archfront.trainers.yaml_text import YAML_MB, parse_yaml

# In a folder of yaml files; beyond it somebody gave another folder, and looking takes long.
N_FILES = 10_000


def unfit_files(folder: Path) -> list[str]:
    """Return the problems of yaml files that Hydra must not read, whichever of them it would."""
    problems: list[str] = []
    n_files = 0
    for place, _, names in os.walk(folder):
        for name in sorted(names):
            n_files += 1
            if n_files > N_FILES:
                return [
                    f"--config-dir: {folder} has more than {N_FILES:,} files. Give a folder of "
                    "yaml files laid out like the shipped ones."
                ]
            if name.endswith((".yaml", ".yml")):
                problems += unfit_problems(Path(place) / name)
    return problems


def unfit_problems(path: Path) -> list[str]:
    """Return the problem of a file without an end, or whose aliases stand for too much."""
    try:
        text = read_text(path, YAML_MB)
        if "&" in text:
            parse_yaml(text)
    except UnfitFileError as error:
        return [f"--config-dir: {path} cannot be read: {error}."]
    except (OSError, ValueError, yaml.MarkedYAMLError):
        return []  # told when the file is chosen
    except yaml.YAMLError as error:
        return [f"--config-dir: {path}: {error}."]
    return []
