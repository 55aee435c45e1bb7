"""Any classification dataset of torchvision by its class name.

How each is divided cannot be read off its signature, so a table says it. Only torchvision's public
behavior is relied on: ``dataset[index]`` gives ``(image, label)``.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from archfront.trainers.data.raw import RawData, RawSample
from archfront.trainers.data.ref import DataRef
from archfront.trainers.errors import DataError, unknown
from archfront.trainers.files import plain_path


@dataclass(frozen=True)
class Layout:
    """The constructor arguments that select each split; ``{"all": {}}`` for none of its own."""

    parts: Mapping[str, Mapping[str, Any]]
    extra: Mapping[str, Any] = field(default_factory=dict)


def _by_name(train: str, val: str | None = None, test: str | None = None) -> Layout:
    names = {"train": train, "val": val, "test": test}
    return Layout({part: {"split": name} for part, name in names.items() if name is not None})


TRAIN_FLAG = {"train": {"train": True}, "test": {"train": False}}
BY_FLAG = Layout(TRAIN_FLAG)
UNDIVIDED = Layout({"all": {}})
DATASETS: Mapping[str, Layout] = {
    "CIFAR10": BY_FLAG,
    "CIFAR100": BY_FLAG,
    "CLEVRClassification": _by_name("train", "val"),  # its test split has no labels
    "Caltech101": UNDIVIDED,
    "Caltech256": UNDIVIDED,
    "Country211": _by_name("train", "valid", "test"),
    "DTD": _by_name("train", "val", "test"),
    "EMNIST": Layout(TRAIN_FLAG, extra={"split": "balanced"}),
    "EuroSAT": UNDIVIDED,
    "FER2013": _by_name("train"),  # the labels of its test split are rarely at hand
    "FGVCAircraft": _by_name("train", "val", "test"),
    "FashionMNIST": BY_FLAG,
    "Flowers102": _by_name("train", "val", "test"),
    "Food101": _by_name("train", test="test"),
    "GTSRB": _by_name("train", test="test"),
    "ImageNet": _by_name("train", "val"),
    "Imagenette": _by_name("train", "val"),
    "KMNIST": BY_FLAG,
    "MNIST": BY_FLAG,
    "OxfordIIITPet": _by_name("trainval", test="test"),
    "PCAM": _by_name("train", "val", "test"),
    "QMNIST": BY_FLAG,
    "RenderedSST2": _by_name("train", "val", "test"),
    "SEMEION": UNDIVIDED,
    "STL10": _by_name("train", test="test"),
    "SUN397": UNDIVIDED,
    "SVHN": _by_name("train", test="test"),
    "StanfordCars": _by_name("train", test="test"),
    "USPS": BY_FLAG,
}
LABELS = ("targets", "labels", "_labels", "y")  # where torchvision keeps them, if anywhere
PAIRS = ("samples", "_samples")


def read_torchvision(ref: DataRef) -> RawData:
    """Return a torchvision dataset with the splits that it has.

    Classes without a single image, as EMNIST's ``N/A``, are left out.

    Raises:
        DataError: If the name is unknown, or the files are not there and may not or cannot be
            downloaded.
    """
    if ref.name is None or ref.name not in DATASETS:
        raise DataError(str(unknown("torchvision classification dataset", ref.name, DATASETS)))
    if ref.root is None:
        raise DataError("data=torchvision needs data.root, the folder of its files.")
    layout = DATASETS[ref.name]
    opened = {
        part: _open(ref, {**layout.extra, **arguments}) for part, arguments in layout.parts.items()
    }
    labels = {part: _labels(dataset) for part, dataset in opened.items()}
    present = sorted({label for values in labels.values() for label in values})
    names = _class_names(next(iter(opened.values())), max(present, default=-1) + 1)
    dense = {label: index for index, label in enumerate(present)}
    return RawData(
        where=f"torchvision's {ref.name} in {ref.root}",
        class_names=tuple(names[label] for label in present),
        parts={
            part: tuple(
                RawSample(partial(_image, dataset, i), dense[labels[part][i]], f"{part}/{i:06d}")
                for i in _order(dataset)
            )
            for part, dataset in opened.items()
        },
    )


def _open(ref: DataRef, arguments: Mapping[str, Any]) -> Any:
    """Return torchvision's dataset object."""
    from torchvision import datasets

    make = getattr(datasets, str(ref.name))
    root = plain_path(str(ref.root))
    can_download = _can_download(make)
    wish = {"download": ref.download} if can_download else {}
    if ref.download and can_download:
        root.mkdir(parents=True, exist_ok=True)
    try:
        return make(root, **arguments, **wish)
    except ModuleNotFoundError as error:
        raise DataError(f"torchvision's {ref.name} needs {error.name}: install it.") from error
    except (RuntimeError, OSError, ValueError) as error:
        raise DataError(_missing(ref, root, error, can_download=can_download)) from error


def _missing(ref: DataRef, root: Path, error: Exception, *, can_download: bool) -> str:
    if ref.download and can_download:
        return (
            f"torchvision could not download {ref.name} to {root}: {error} Check the network, or "
            "place its files there by hand."
        )
    todo = (
        "set data.download=true to fetch it there"
        if can_download
        else "torchvision cannot download this one: place its files there by hand"
    )
    return (
        f"torchvision's {ref.name} is not in data.root {root}: {todo}, or set data.root to the "
        f"folder that has it. (torchvision says: {error})"
    )


def _can_download(make: Any) -> bool:
    """Return whether the dataset, or the one that it passes its arguments on to, downloads."""
    constructors = (base.__init__ for base in make.__mro__ if "__init__" in vars(base))
    for constructor in constructors:
        parameters = inspect.signature(constructor).parameters
        if "download" in parameters:
            return True
        if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            return False
    return False


def _order(dataset: Any) -> list[int]:
    """Return the indices in an order that does not depend on the file system, as SUN397's does."""
    files = getattr(dataset, "_image_files", None)
    indices = range(len(dataset))
    return sorted(indices, key=lambda i: Path(files[i]).as_posix()) if files else list(indices)


def _image(dataset: Any, index: int) -> Image.Image:
    image: Image.Image = dataset[index][0]
    return image


def _labels(dataset: Any) -> list[int]:
    """Return every label, without decoding the images where torchvision keeps a list of them."""
    n = len(dataset)
    lists = [getattr(dataset, attribute, None) for attribute in LABELS]
    for attribute in PAIRS:
        pairs = getattr(dataset, attribute, None)
        lists.append([label for _, label in pairs] if pairs else None)
    for values in lists:
        if values is None or len(values) != n:
            continue
        array = np.asarray(values)
        if array.ndim == 1 and np.issubdtype(array.dtype, np.integer):
            return [int(value) for value in array]
    return [int(dataset[index][1]) for index in range(n)]


def _class_names(dataset: Any, n_classes: int) -> list[str]:
    """Return the dataset's own names, or the labels as names where it has none."""
    for attribute in ("classes", "categories"):
        names = getattr(dataset, attribute, None)
        if names is not None and len(names) >= n_classes:
            return _told_apart([name if isinstance(name, str) else str(name[0]) for name in names])
    return [str(label) for label in range(n_classes)]


def _told_apart(names: Sequence[str]) -> list[str]:
    """Return names with the number of the class behind those that several have, as ImageNet's."""
    counts = Counter(names)
    return [f"{name} ({n})" if counts[name] > 1 else name for n, name in enumerate(names)]
