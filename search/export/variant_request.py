"""Which variants of a member are requested: runtimes, precisions and input sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from archfront.search.catalog import catalog
from archfront.search.errors import ConfigError, unknown
from archfront.search.formats.formats import FORMATS, Format
from archfront.trainers.spec import Architecture

# The format that a runtime and a precision are exported to; metrics are those of that very file.
DEPLOYED = {
    ("onnxruntime", "fp32"): "onnx",
    ("onnxruntime", "int8"): "onnx-int8",
    ("openvino", "fp32"): "openvino",
    ("openvino", "int8"): "openvino-int8",
}
RUNTIMES = tuple(dict.fromkeys(runtime for runtime, _ in DEPLOYED))
PRECISIONS = tuple(dict.fromkeys(precision for _, precision in DEPLOYED))
# Input sides relative to that of the training. Smaller ones are cheaper; at somewhat larger ones
# networks are often more accurate. Source: Touvron et al. 2019, Fixing the train-test resolution
# discrepancy.
SHARES = (0.5, 0.75, 1.0, 1.25)
# For a backbone that takes every size, sizes are multiples of a common stride.
STEP = 8


@dataclass(frozen=True)
class VariantRequest:
    """Which variants of each member are requested.

    Attributes:
        formats: The format to export to, by runtime and precision.
        sizes: Sides of the input in pixels; None for sizes around each member's own.
        again: Whether recorded variants are made anew.
    """

    formats: dict[tuple[str, str], Format]
    sizes: tuple[int, ...] | None = None
    again: bool = False


def formats_of(
    runtimes: Sequence[str], precisions: Sequence[str], *, installed_only: bool = False
) -> dict[tuple[str, str], Format]:
    """Return the format to export to for every pair of a runtime and a precision.

    Args:
        runtimes: Some of ``RUNTIMES``.
        precisions: Some of ``PRECISIONS``.
        installed_only: Leave out pairs whose library is not installed, instead of refusing them.

    Raises:
        ConfigError: For every unknown name, and for libraries that are not installed.
    """
    problems = [str(unknown("runtime", r, RUNTIMES)) for r in runtimes if r not in RUNTIMES]
    problems += [
        str(unknown("precision", p, PRECISIONS)) for p in precisions if p not in PRECISIONS
    ]
    given = {"runtime": runtimes, "precision": precisions}
    problems += [
        f"--{name}s: at least one is needed." for name, names in given.items() if not names
    ]
    if problems:
        raise ConfigError(*problems)
    found = {}
    for runtime in dict.fromkeys(runtimes):
        for precision in dict.fromkeys(precisions):
            entry = FORMATS[DEPLOYED[runtime, precision]]
            try:
                entry.check()
            except ConfigError as error:
                problems.append(f"{runtime} {precision}: {error}")
                continue
            found[runtime, precision] = entry
    if problems and not (installed_only and found):
        raise ConfigError(*problems)
    return found


def sizes_around(architecture: Architecture) -> tuple[int, ...]:
    """Return the input sizes around that of a trained network that its backbone takes.

    A backbone that is not in the catalog is tried at multiples of ``STEP``.
    """
    own, backbone = architecture.input_size, catalog().get(architecture.backbone)
    step = STEP if backbone is None or backbone.size_step == 1 else backbone.size_step
    sizes = {own, *(round(share * own / step) * step for share in SHARES)}
    return tuple(sorted(s for s in sizes if s > 0 and (backbone is None or backbone.takes(s))))
