"""First weights: which files there are, whether they fit, and how to fetch the missing ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import timm

from archfront.trainers.errors import BuildError, WeightsError
from archfront.trainers.files import plain_path
from archfront.trainers.networks.backbone import create, pretrained_cfg
from archfront.trainers.networks.checkpoint import load_into
from archfront.trainers.networks.found_weights import Resolution
from archfront.trainers.networks.hf.names import cached_file, folder_of, is_hub
from archfront.trainers.networks.hub_files import (
    Meter,
    cached,
    default_cfg,
    fetched,
    is_published,
)
from archfront.trainers.spec import Weights
from archfront.trainers.sums import sha256_of

SUFFIXES = (".safetensors", ".pth")


def resolve(
    names: Iterable[str],
    source: str,
    *,
    channels: int = 3,
    on_checked: Callable[[str], None] | None = None,
) -> Resolution:
    """Return the weights of every backbone, or why there are none. Nothing is downloaded.

    Args:
        names: timm model names without a tag, or names that begin with ``hf:``.
        source: ``none``, ``pretrained`` (timm's default weights, from the caches of this user)
            or the path of a folder with files by timm's names (``resnet18.a1_in1k.safetensors``,
            ``resnet18.safetensors``, ``resnet18.pth``).
        channels: Channels of the images; timm adapts the first layer.
        on_checked: Called with every name when it is done.

    Raises:
        WeightsError: If the folder is not there.
    """
    if source not in ("none", "pretrained") and not Path(source).is_dir():
        raise WeightsError(
            f"There is no folder {source!r}. Weights are none, pretrained, or a folder of files "
            "by timm's names."
        )
    found: dict[str, Weights] = {}
    missing: dict[str, str] = {}
    absent, unpublished = [], []
    for name in names:
        if source == "pretrained" and _is_absent(name):
            absent.append(name)
        if source == "pretrained" and not is_published(name):
            unpublished.append(name)
        try:
            found[name] = _resolve(name, source, channels)
        except (WeightsError, BuildError) as error:
            missing[name] = str(error)
        if on_checked is not None:
            on_checked(name)
    return Resolution(found, missing, tuple(absent), tuple(unpublished))


def _is_absent(name: str) -> bool:
    """Return whether published weights of a backbone are not on this machine."""
    if not is_hub(name):
        return is_published(name) and cached(name) is None
    from archfront.trainers.networks.hf.files import WEIGHTS

    return folder_of(name) is None and cached_file(name, WEIGHTS) is None


def fetch(
    names: Iterable[str],
    *,
    on_fetched: Callable[[str, Path], None] | None = None,
    meter: Callable[[str, float, float], None] | None = None,
) -> dict[str, Path]:
    """Download timm's default weights of every backbone into the caches of this user.

    What is there already is not loaded again. One that fails does not keep the others back.

    Args:
        names: timm model names without a tag.
        on_fetched: Called with every name and file.
        meter: Called with a name, the megabytes of its file that are there, and all of them.

    Raises:
        WeightsError: After the last one, naming all that could not be fetched and why.
    """
    files: dict[str, Path] = {}
    failed: list[str] = []
    for name in names:
        try:
            files[name] = _fetched(name, None if meter is None else partial(meter, name))
        except WeightsError as error:
            failed.append(str(error))
        else:
            if on_fetched is not None:
                on_fetched(name, files[name])
    if failed:
        raise WeightsError(
            f"{len(failed)} of {len(failed) + len(files)} weights could not be fetched:\n  - "
            + "\n  - ".join(failed)
            + "\nCheck the connection and run 'archfront weights fetch' again, or copy the files "
            "into a folder, named as timm does (resnet18.a1_in1k.safetensors), and give weights "
            "that folder."
        )
    return files


def _fetched(name: str, meter: Meter | None) -> Path:
    if is_hub(name):
        from archfront.trainers.networks.hf.files import fetch_hub

        return fetch_hub(name)
    return fetched(name, meter)


def _resolve(name: str, source: str, channels: int) -> Weights:
    if source == "none":
        return Weights()
    if is_hub(name):
        from archfront.trainers.networks.hf.files import resolve_hub

        return resolve_hub(name, source, channels=channels)
    kind: Literal["pretrained", "folder"] = "pretrained" if source == "pretrained" else "folder"
    if kind == "pretrained":
        path, tag = cached(name), default_cfg(name).tag or None
        if path is None:
            raise WeightsError(
                f"The weights of {name}.{tag} are not on this machine. Run 'archfront weights "
                "fetch', or choose weights none."
            )
    else:
        path, tag = _in_folder(name, plain_path(source))

    def build(**options: Any) -> Any:
        return create(
            name, channels=channels, input_size=None, num_classes=0, device="meta", **options
        )

    load_into(name, path, build, device="meta")
    return Weights(source=kind, tag=tag, sha256=sha256_of(path), path=str(path))


def _in_folder(name: str, folder: Path) -> tuple[Path, str | None]:
    """Return the file and its tag: timm's default one, else without a tag, else the only one."""
    cfg = pretrained_cfg(name, None) if timm.is_model(name) else None
    default = cfg.tag if cfg is not None and cfg.tag else None
    for tag in dict.fromkeys((default, None)):
        stem = f"{name}.{tag}" if tag else name
        for suffix in SUFFIXES:
            if (folder / (stem + suffix)).is_file():
                return folder / (stem + suffix), tag
    others = sorted(
        path
        for path in folder.iterdir()
        if path.suffix in SUFFIXES and path.name.startswith(f"{name}.") and path.is_file()
    )
    if len(others) == 1:
        return others[0], others[0].name[len(name) + 1 : -len(others[0].suffix)]
    wanted = f"{name}.{default}" if default else name
    if others:
        raise WeightsError(
            f"{folder} has several files for {name}: {', '.join(p.name for p in others)}. "
            f"Keep one of them, or name one {wanted}.safetensors."
        )
    raise WeightsError(
        f"{folder} has no weights for {name}: looked for {wanted}.safetensors, "
        f"{name}.safetensors, and .pth. Put the file there, or choose weights none."
    )
