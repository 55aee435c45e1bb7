"""Formats of exports by name. The names are known without importing any library."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from archfront.search.errors import ConfigError, unknown
from archfront.search.formats import graphs
from archfront.search.formats.source import Source
from archfront.search.runtimes.installed import installed_version
from archfront.trainers.spec import Architecture

Writer = Callable[[Source, Path], None]
# Why an architecture cannot go to a format; None if it can.
Refusal = Callable[[Architecture], str | None]


def _never(architecture: Architecture) -> None:
    return None


def _not_in_hf(a: Architecture) -> str | None:
    return not_in_hf(a.task, a.head, a.channels)


def not_in_hf(task: str, head: str, channels: int) -> str | None:
    """Return why transformers cannot load such a network by itself; None if it can."""
    from archfront.trainers.networks.hf.heads import unpublishable

    return unpublishable(task, head, channels)


def _packed(source: Source, folder: Path) -> None:
    raise AssertionError("it carries another format and is written around that one")


def _write_hf(source: Source, folder: Path) -> None:
    from typing import Any, cast

    from archfront.trainers.networks.hf.publish import publish

    publish(cast("Any", source.model), source.preprocess, source.class_names, folder)


@dataclass(frozen=True)
class Format:
    """One way to hand a network over.

    Attributes:
        name: Its key in ``FORMATS``, and the name of its folder.
        libraries: Distributions that write and run it, the one that runs it first.
        opener: Key of ``search.predict.openers.OPENERS``.
        file: What is opened, relative to its folder; empty for the folder itself.
        write: Writes it.
        precision: Numeric precision.
        refuses: Why an architecture cannot go to it.
        is_plain: Whether it takes normalized images in any number, whatever was asked for.
        packs: The format that it carries; None for its own files.
        extra: Extra of archfront that installs the libraries; None if archfront itself does.
    """

    name: str
    libraries: tuple[str, ...]
    opener: str
    file: str
    write: Writer
    precision: str = "fp32"
    refuses: Refusal = _never
    is_plain: bool = False
    packs: str | None = None
    extra: str | None = None

    def check(self) -> None:
        """See that its libraries are installed.

        Raises:
            ConfigError: If one of them is not.
        """
        for library in self.libraries:
            installed_version(library, self.extra)

    def version(self) -> str:
        """Return library and version that run it, such as ``onnxruntime 1.32.0``."""
        return f"{self.libraries[0]} {installed_version(self.libraries[0], self.extra)}"


FORMATS: dict[str, Format] = {
    entry.name: entry
    for entry in (
        Format("onnx", ("onnxruntime",), "onnx", "model.onnx", graphs.write_onnx),
        Format(
            "onnx-int8", ("onnxruntime",), "onnx", "model.onnx", graphs.write_onnx_int8, "int8"
        ),
        Format(
            "openvino",
            ("openvino",),
            "openvino",
            "model.xml",
            graphs.write_openvino,
            extra="openvino",
        ),
        Format(
            "openvino-int8",
            ("openvino", "nncf"),
            "openvino",
            "model.xml",
            graphs.write_openvino_int8,
            "int8",
            extra="openvino",
        ),
        Format("torchscript", ("torch",), "torchscript", "model.pt", graphs.write_torchscript),
        Format("torch-export", ("torch",), "torch-export", "model.pt2", graphs.write_torch_export),
        Format(
            "hf",
            ("transformers", "timm"),
            "hf",
            "",
            _write_hf,
            refuses=_not_in_hf,
            is_plain=True,
            extra="hf",
        ),
        Format(
            "mlflow",
            ("onnxruntime", "mlflow"),
            "onnx",
            "artifacts/export/onnx/model.onnx",
            _packed,
            packs="onnx",
        ),
    )
}


# What else the format of transformers is called.
HF_NAMES = ("huggingface", "hugging-face", "hugging_face", "transformers", "hub")


def formats_named(names: list[str]) -> list[Format]:
    """Return the formats of these names, each once, those that others carry in front.

    Raises:
        ConfigError: For every name that is none, and every library that is not installed.
    """
    problems = [
        f"Unknown format {name!r}. It is called hf here."
        if name in HF_NAMES
        else str(unknown("format", name, FORMATS))
        for name in names
        if name not in FORMATS
    ]
    if problems:
        raise ConfigError(*problems)
    wanted = [FORMATS[name] for name in dict.fromkeys(names)]
    carried = [FORMATS[f.packs] for f in wanted if f.packs is not None]
    for entry in wanted:
        try:
            entry.check()
        except ConfigError as error:
            problems.append(f"--format {entry.name}: {error}")
    if problems:
        raise ConfigError(*problems)
    return list(dict.fromkeys([*carried, *wanted]))
