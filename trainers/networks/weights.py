"""First weights: which files there are, whether they fit, and how to fetch the missing ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import timm
from huggingface_hub import hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import RemoteEntryNotFoundError
from timm.models._hub import download_cached_file, get_cache_dir, hf_split

from archfront.trainers.errors import BuildError, WeightsError
from archfront.trainers.networks.backbone import create, pretrained_cfg
from archfront.trainers.networks.checkpoint import load_into, sha256_of
from archfront.trainers.networks.hf.names import is_hub
from archfront.trainers.spec import Weights

SUFFIXES = (".safetensors", ".pth")
# What timm looks for in a hub repository, in its order.
HUB_FILES = ("model.safetensors", "pytorch_model.bin")


@dataclass(frozen=True)
class Resolution:
    """Weights found for a set of backbones.

    Attributes:
        weights: By backbone, each file read, hashed and compared with its network.
        missing: The reason by backbone, a complete sentence or two.
    """

    weights: dict[str, Weights]
    missing: dict[str, str]


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
    for name in names:
        try:
            found[name] = _resolve(name, source, channels)
        except (WeightsError, BuildError) as error:
            missing[name] = str(error)
        if on_checked is not None:
            on_checked(name)
    return Resolution(found, missing)


def fetch(
    names: Iterable[str], *, on_fetched: Callable[[str, Path], None] | None = None
) -> dict[str, Path]:
    """Download timm's default weights of every backbone into the caches of this user.

    What is there already is not loaded again. One that fails does not keep the others back.

    Args:
        names: timm model names without a tag.
        on_fetched: Called with every name and file.

    Raises:
        WeightsError: After the last one, naming all that could not be fetched and why.
    """
    files: dict[str, Path] = {}
    failed: list[str] = []
    for name in names:
        try:
            files[name] = _fetched(name)
        except WeightsError as error:
            failed.append(str(error))
        except Exception as error:  # every network library has its own kinds
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            failed.append(f"{name}: {type(error).__name__}: {reason}")
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


def _fetched(name: str) -> Path:
    if is_hub(name):
        from archfront.trainers.networks.hf.files import fetch_hub

        return fetch_hub(name)
    return _cached(name) or _download(name)


def _resolve(name: str, source: str, channels: int) -> Weights:
    if source == "none":
        return Weights()
    if is_hub(name):
        from archfront.trainers.networks.hf.files import resolve_hub

        return resolve_hub(name, source, channels=channels)
    kind: Literal["pretrained", "folder"] = "pretrained" if source == "pretrained" else "folder"
    if kind == "pretrained":
        path, tag = _cached(name), _default(name).tag or None
        if path is None:
            raise WeightsError(
                f"The weights of {name}.{tag} are not on this machine. Run 'archfront weights "
                "fetch', or choose weights none."
            )
    else:
        path, tag = _in_folder(name, Path(source).absolute())

    def build(**options: Any) -> Any:
        return create(
            name, channels=channels, input_size=None, num_classes=0, device="meta", **options
        )

    load_into(name, path, build, device="meta")
    return Weights(source=kind, tag=tag, sha256=sha256_of(path), path=str(path))


def _default(name: str) -> Any:
    """Return timm's record of the default weights."""
    cfg = pretrained_cfg(name, None) if timm.is_model(name) else None
    if cfg is None or not (cfg.hf_hub_id or cfg.url):
        raise WeightsError(
            f"timm {timm.__version__} publishes no weights for {name!r}. Choose another "
            "backbone, weights none, or a folder that has them."
        )
    return cfg


def _cached(name: str) -> Path | None:
    """Return the file in the hub's or torch's cache, where it was fetched before."""
    cfg = _default(name)
    if cfg.hf_hub_id:
        repository, revision = hf_split(cfg.hf_hub_id)
        for filename in _hub_files(cfg):
            path = try_to_load_from_cache(repository, filename, revision=revision)
            if isinstance(path, str):
                return Path(path)
        return None
    path = Path(get_cache_dir()) / _url_name(cfg.url)
    return path if path.is_file() else None


def _download(name: str) -> Path:
    cfg = _default(name)
    if not cfg.hf_hub_id:
        return Path(download_cached_file(cfg.url, check_hash=True))
    repository, revision = hf_split(cfg.hf_hub_id)
    *preferred, last = _hub_files(cfg)
    for filename in preferred:
        try:
            return Path(hf_hub_download(repository, filename, revision=revision))
        except RemoteEntryNotFoundError:
            continue
    return Path(hf_hub_download(repository, last, revision=revision))


def _hub_files(cfg: Any) -> tuple[str, ...]:
    return (cfg.hf_hub_filename,) if cfg.hf_hub_filename else HUB_FILES


def _url_name(url: str | tuple[str, str]) -> str:
    return url.rsplit("/", 1)[-1] if isinstance(url, str) else url[1]


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
