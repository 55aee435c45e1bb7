"""The files of timm's weights: which there are, in this user's caches, on the hub, fetched."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import timm
from huggingface_hub import (
    constants,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    try_to_load_from_cache,
)
from huggingface_hub.errors import HfHubHTTPError, RemoteEntryNotFoundError
from timm.models._hub import download_cached_file, get_cache_dir, hf_split
from tqdm import tqdm  # type: ignore[import-untyped]  # it has no stubs

from archfront.trainers.errors import BuildError, FetchError, WeightsError
from archfront.trainers.networks.found_weights import OnHub
from archfront.trainers.networks.hf.names import is_hub
from archfront.trainers.spec import Weights

# What timm looks for in a hub repository, in its order.
HUB_FILES = ("model.safetensors", "pytorch_model.bin")
# Seconds for the first answer, which tells whether there is a connection, and for the others.
CONNECT_S, ANSWER_S = 3.0, 10.0
N_ASKED_AT_A_TIME = 16
SHA256 = re.compile(r"[0-9a-f]{64}")

# Called with the megabytes of a file that are there, and all of them.
Meter = Callable[[float, float], None]


def default_cfg(name: str) -> Any:
    """Return timm's record of the default weights.

    Raises:
        WeightsError: If nobody publishes any.
    """
    cfg = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
    if cfg is None or not (cfg.hf_hub_id or cfg.url):
        raise WeightsError(
            f"timm {timm.__version__} publishes no weights for {name!r}. Choose another "
            "backbone, weights none, or a folder that has them."
        )
    return cfg


def is_published(name: str) -> bool:
    """Return whether timm publishes weights for a backbone; of transformers' it is assumed."""
    if is_hub(name):
        return True
    try:
        default_cfg(name)
    except (WeightsError, BuildError):
        return False
    return True


def cached(name: str) -> Path | None:
    """Return the file in the hub's or torch's cache, where it was fetched before."""
    cfg = default_cfg(name)
    if cfg.hf_hub_id:
        repository, revision = hf_split(cfg.hf_hub_id)
        for filename in _hub_files(cfg):
            path = try_to_load_from_cache(repository, filename, revision=revision)
            if isinstance(path, str):
                return Path(path)
        return None
    path = Path(get_cache_dir()) / _url_name(cfg.url)
    return path if path.is_file() else None


def fetched(name: str, meter: Meter | None = None) -> Path:
    """Return the file of timm's default weights, downloaded where it is not in the cache.

    Raises:
        WeightsError: If there are none, or they cannot be downloaded.
    """
    try:
        return cached(name) or _download(name, meter)
    except WeightsError:
        raise
    except Exception as error:  # every network library has its own kinds
        raise WeightsError(f"{name}: {_reason(error)}") from error


def fetched_when_needed(name: str, meter: Meter | None = None) -> Path:
    """Return the file like ``fetched``, for a study that began without it.

    Raises:
        FetchError: If it cannot be downloaded, with what to do.
    """
    try:
        return fetched(name, meter)
    except WeightsError as error:
        raise FetchError(
            f"The weights of {name} could not be fetched ({error}). Check the connection and run "
            "'archfront weights fetch', or begin a study with a folder of weights, or without."
        ) from error


def ask_hub(names: Iterable[str]) -> OnHub:
    """Return what the hub says of the weights of backbones. Nothing is downloaded.

    The first answer tells whether there is a connection at all.
    """
    answers = OnHub()
    asked = []
    for name in names:
        if default_cfg(name).hf_hub_id:
            asked.append(name)
        else:
            answers.missing[name] = (
                f"The weights of {name} are outside of the hub, so that their hash is not known "
                "before they are fetched. Run 'archfront weights fetch'."
            )
    if not asked:
        return answers
    offline = _ask(asked[0], answers, CONNECT_S)
    if offline is not None:
        return OnHub(
            missing=answers.missing
            | {name: f"The weights of {name} are not on this machine." for name in asked},
            offline=offline,
        )
    with ThreadPoolExecutor(N_ASKED_AT_A_TIME) as pool:
        list(pool.map(lambda name: _ask(name, answers, ANSWER_S), asked[1:]))
    return answers


def _ask(name: str, answers: OnHub, timeout_s: float) -> str | None:
    """Put the hub's answer about a backbone in; return why there was none, or None."""
    cfg = default_cfg(name)
    repository, revision = hf_split(cfg.hf_hub_id)
    for filename in _hub_files(cfg):
        url = hf_hub_url(repository, filename, revision=revision)
        try:
            found = get_hf_file_metadata(url, timeout=timeout_s)
        except RemoteEntryNotFoundError:
            continue
        except HfHubHTTPError as error:
            answers.missing[name] = f"The hub refuses the weights of {name}: {_reason(error)}."
            return None
        except Exception as error:  # every network library has its own kinds
            answers.missing[name] = f"The weights of {name} were not found: {_reason(error)}."
            return f"{constants.ENDPOINT} cannot be reached ({_reason(error)})"
        if SHA256.fullmatch(found.etag or "") is None:
            break
        answers.weights[name] = Weights("pretrained", cfg.tag or None, found.etag)
        answers.mb[name] = (found.size or 0) / 1e6
        return None
    answers.missing[name] = f"The hub has no file of weights with a hash for {name}."
    return None


def _download(name: str, meter: Meter | None) -> Path:
    cfg = default_cfg(name)
    if not cfg.hf_hub_id:
        return Path(download_cached_file(cfg.url, check_hash=True))
    repository, revision = hf_split(cfg.hf_hub_id)
    options: dict[str, Any] = {} if meter is None else {"tqdm_class": _metered(meter)}
    *preferred, last = _hub_files(cfg)
    for filename in preferred:
        try:
            return Path(hf_hub_download(repository, filename, revision=revision, **options))
        except RemoteEntryNotFoundError:
            continue
    return Path(hf_hub_download(repository, last, revision=revision, **options))


def _metered(meter: Meter) -> type[Any]:
    """Return the class of a progress bar that draws nothing and tells the meter."""

    class Metered(tqdm):  # type: ignore[misc]  # as above
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **{**options, "file": io.StringIO(), "disable": False})

        def update(self, n: float | None = 1) -> bool | None:
            shown: bool | None = super().update(n)
            meter(self.n / 1e6, (self.total or self.n) / 1e6)
            return shown

    return Metered


def _hub_files(cfg: Any) -> tuple[str, ...]:
    return (cfg.hf_hub_filename,) if cfg.hf_hub_filename else HUB_FILES


def _url_name(url: str | tuple[str, str]) -> str:
    return url.rsplit("/", 1)[-1] if isinstance(url, str) else url[1]


def _reason(error: Exception) -> str:
    """Return the first line of an error, with its type, without its last full stop."""
    lines = str(error).strip().splitlines()
    kind = type(error).__name__
    return f"{kind}: {lines[0].rstrip('.')}" if lines else kind
