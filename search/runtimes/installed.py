"""Checks of libraries, precisions and the GPU, with errors for what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from importlib import metadata
from importlib.metadata import PackageNotFoundError

from archfront.search.errors import ConfigError
from archfront.trainers.words import quoted

# The same library from another package, which is used where only that is installed.
ALTERNATIVES = {"onnxruntime": "onnxruntime-gpu"}


@lru_cache
def version(name: str) -> str:
    """Return the version of a distribution; that of what was imported, if it is replaced later."""
    return metadata.version(name)


def installed_version(package: str, extra: str | None = None) -> str:
    """Return the version of an installed package, without importing it.

    Args:
        package: Name of the distribution.
        extra: The extra of archfront that installs it; None if archfront itself does.

    Raises:
        ConfigError: If it is not installed.
    """
    for name in (package, ALTERNATIVES.get(package)):
        with suppress(PackageNotFoundError):
            if name is not None:
                return version(name)
    what = f"'archfront[{extra}]'" if extra else package
    raise ConfigError(f"{package} is not installed: pip install {what}.")


def require_precision(runtime: str, precision: str, known: Sequence[str]) -> None:
    """Raise a ConfigError if a runtime has no such precision."""
    if precision not in known:
        raise ConfigError(
            f"The runtime {runtime!r} has no precision {quoted(precision)}. "
            f"Known: {', '.join(known)}."
        )


def require_gpu(runtime: str, fallback: str) -> None:
    """Raise a ConfigError if torch finds no GPU that it can use.

    Args:
        runtime: Name of the runtime that needs one.
        fallback: Name of the runtime to use without one.
    """
    import torch

    if torch.cuda.is_available():
        return
    built = torch.version.cuda
    reason = (
        "finds none (nvidia-smi shows whether driver and GPU are there)"
        if built
        else "was installed without CUDA"
    )
    raise ConfigError(
        f"The runtime {runtime!r} needs an NVIDIA GPU, and torch {torch.__version__} {reason}. "
        f"Use hardware.runtime={fallback}, or a machine with one."
    )
