"""Names that begin with ``hf:``: a repository of the hub, or a folder with its files.

The configuration of a name comes from the folder, else from the shipped table, else from the
hub's cache of this user.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from archfront.trainers.errors import ConfigError
from archfront.trainers.files import plain_path
from archfront.trainers.networks.hf.hub_models import HUB_MODELS
from archfront.trainers.words import reason_of

PREFIX = "hf:"
CONFIG = "config.json"
# What a configuration says beside the network: labels, versions, how it is to be loaded.
BESIDE = frozenset(
    (
        "_name_or_path",
        "_num_labels",
        "dtype",
        "finetuning_task",
        "id2label",
        "label2id",
        "num_labels",
        "problem_type",
        "torch_dtype",
        "transformers_version",
    )
)


def is_hub(name: str) -> bool:
    """Return whether a backbone is one of transformers."""
    return name.startswith(PREFIX)


def canonical(name: str) -> str:
    """Return the name by which a backbone is known: folders by their absolute path."""
    folder = folder_of(name)
    return name if folder is None else f"{PREFIX}{folder}"


def folder_of(name: str) -> Path | None:
    """Return the folder that a name stands for; None for a repository of the hub."""
    place = name.removeprefix(PREFIX)
    if not place.startswith(("/", "./", "../", "~")) and place not in (".", ".."):
        return None
    return plain_path(place)


def repository_of(name: str) -> str:
    """Return the repository of a name that is no folder."""
    return name.removeprefix(PREFIX)


def content_of(name: str) -> dict[str, Any]:
    """Return the configuration of a network with its ``model_type``, without its labels.

    Raises:
        ConfigError: If there is none on this machine or it cannot be read.
    """
    known = HUB_MODELS.get(repository_of(name))
    if known is not None:
        return {"model_type": known.model_type, **known.arguments}
    file = _file(name)
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{file} cannot be read as a configuration: {reason_of(error)}."
        ) from error
    if not isinstance(content, dict) or not isinstance(content.get("model_type"), str):
        raise ConfigError(
            f"{file} has no model_type. It must be a config.json that transformers wrote."
        )
    return {key: value for key, value in content.items() if key not in BESIDE}


def digest_of(name: str) -> str:
    """Return the content that two names of one network share under one transformers.

    Raises:
        ConfigError: As ``content_of``; or if transformers is not installed.
    """
    content = json.dumps([content_of(name), transformers_version()], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def licence_of(name: str) -> str | None:
    """Return the license of the weights as far as the table knows it."""
    known = HUB_MODELS.get(repository_of(name))
    return None if known is None else known.licence


def transformers_version() -> str:
    """Return its version.

    Raises:
        ConfigError: If it is not installed, with the extra that brings it.
    """
    try:
        return version("transformers")
    except PackageNotFoundError:
        raise ConfigError(
            "Backbones that begin with hf: need transformers, which is not installed: "
            "pip install 'archfront[hf]'"
        ) from None


def _file(name: str) -> Path:
    """Return the ``config.json`` of a folder or of the hub's cache."""
    folder = folder_of(name)
    if folder is not None:
        if not (folder / CONFIG).is_file():
            raise ConfigError(
                f"space.backbones: {name} needs the file {folder / CONFIG}, which is not there. "
                "save_pretrained of transformers writes such a folder."
            )
        return folder / CONFIG
    cached = cached_file(name, CONFIG)
    if cached is None:
        near = difflib.get_close_matches(repository_of(name), list(HUB_MODELS), n=3, cutoff=0.5)
        hint = f" (near: {', '.join(near)})" if near else ""
        raise ConfigError(
            f"space.backbones: the configuration of {name} is not on this machine{hint}. Fetch "
            f"it with: archfront weights fetch space.backbones={name}; or give a folder, as "
            f"hf:./folder. Built in are {', '.join(sorted(HUB_MODELS))}."
        )
    return cached


def cached_file(name: str, filename: str) -> Path | None:
    """Return a file of a repository in the hub's cache of this user; None if it is not there."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        path = try_to_load_from_cache(repository_of(name), filename)
    except HFValidationError as error:
        raise ConfigError(
            f"space.backbones: {name} is no name of a repository (owner/name) and no folder "
            f"(hf:./folder, hf:/folder): {error}"
        ) from error
    return Path(path) if isinstance(path, str) else None
