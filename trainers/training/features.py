"""Features of a frozen backbone: computed once, and kept on disk for all studies of the machine.

A head that only pools the backbone's last maps shares them with every other such head: the means,
maxima and generalized means of the maps are computed in one pass.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from archfront.trainers.data import ImageSet, Preprocess
from archfront.trainers.data.folds import POOLED
from archfront.trainers.networks.classifiers import (
    ON_STAGES,
    Classifier,
    GeMPool,
    ToChannelsFirst,
)
from archfront.trainers.spec import Weights
from archfront.trainers.sums import sha256_of
from archfront.trainers.training.micro_batch import MicroBatcher
from archfront.trainers.training.module import channels_last
from archfront.trainers.training.onnx_features import Run, onnx_runner
from archfront.trainers.training.training_data import TrainingData, Whole

VERSION = 1  # of what is written
FILE = "features.npz"
UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)
N_TRIED = 4  # images on which it is found what the head takes
# Below so many pixels an export takes longer than it saves: about 400 images of 96 px.
ONNX_PIXELS = 4_000_000
CPU_BATCH, GPU_BATCH, BATCH_SIDE = 32, 256, 224
CLOSE = 1e-4  # of the largest feature
POOLINGS = ("avg", "max", "avgmax", "gem")

Parts = dict[str, NDArray[np.float32]]


class Pooled(nn.Module):
    """Images to the means, maxima and generalized means of a backbone's last maps."""

    names = ("avg", "max", "gem")

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        is_turned = getattr(backbone, "output_fmt", None) == "NHWC"
        self.turn: nn.Module = ToChannelsFirst() if is_turned else nn.Identity()
        self.gem = GeMPool()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return three features ``(N, C)``."""
        maps = self.turn(cast("Any", self.backbone).forward_features(images))
        if maps.ndim != 4:
            raise ValueError(f"expected maps (N, C, H, W), got {tuple(maps.shape)}")
        return maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3)), self.gem(maps)


class Headless(nn.Module):
    """Images to what the head takes; only within ``without(model, part)``."""

    names = ("own",)

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor]:
        """Return the head's input, ``(N, D)``."""
        return (self.model(images),)


def mixed(parts: Parts, pooling: str) -> NDArray[np.float32]:
    """Return the features of one pooling from those that are kept."""
    if pooling != "avgmax":
        return parts[pooling]
    return ((parts["avg"] + parts["max"]) / 2).astype(np.float32)


def solvable_head(model: nn.Module) -> str | None:
    """Return the path of the linear or small network that classifies; None if it is no such."""
    if not isinstance(model, Classifier):
        return None
    head: Any = model.head
    if isinstance(head, nn.Identity):
        head = cast("Any", model.backbone).get_classifier()
        head = head[0] if isinstance(head, tuple | list) and len(head) == 1 else head
    elif model.architecture.head in ("gem", *ON_STAGES):
        head = head[-1]
    is_small = isinstance(head, nn.Linear) or head is model.head
    if not is_small or any(layer.bias is None for layer in head.modules() if _is_linear(layer)):
        return None
    return next((path for path, module in model.named_modules() if module is head), None)


def _is_linear(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Linear)


@contextmanager
def without(model: nn.Module, part: str) -> Iterator[None]:
    """Put the identity in the place of a part of a network within the block."""
    kept = model.get_submodule(part)
    model.set_submodule(part, nn.Identity())
    try:
        yield
    finally:
        model.set_submodule(part, kept)


@dataclass(frozen=True, eq=False)
class Extractor:
    """What computes the features that a head takes.

    Attributes:
        model: The whole network, in evaluation mode.
        part: Path of its head.
        network: From images to a tuple of features by its ``names``.
        pooling: Which of them the head takes.
        width: Of one feature.
    """

    model: nn.Module
    part: str
    network: Pooled | Headless
    pooling: str
    width: int

    def ready(self) -> AbstractContextManager[None]:
        """Return the context in which ``network`` gives features."""
        return without(self.model, self.part) if self.pooling == "own" else nullcontext()

    @property
    def image_bytes(self) -> int:
        """Return what the features of one image take."""
        return 4 * self.width * len(self.network.names)


def extractor_for(model: nn.Module, part: str, images: Tensor) -> Extractor | None:
    """Return what computes the input of a head; None where the head alone is not the rest.

    Args:
        model: In evaluation mode.
        part: Path of its head.
        images: A few normalized ones, on which it is tried.
    """
    with torch.no_grad():
        expected = model(images)
        with without(model, part):
            taken = model(images)
        if getattr(taken, "ndim", 0) != 2 or not _is_close(
            model.get_submodule(part)(taken), expected
        ):
            return None
        found = _pooled(model, images, taken)
    network, pooling = found or (Headless(model), "own")
    return Extractor(model, part, network, pooling, int(taken.shape[1]))


def _pooled(model: nn.Module, images: Tensor, taken: Tensor) -> tuple[Pooled, str] | None:
    """Return the pooled maps and which of them the head takes; None where it takes no such."""
    backbone = cast("Classifier", model).backbone
    if not hasattr(backbone, "forward_features"):
        return None
    network = Pooled(backbone).to(images.device).eval()
    try:
        outputs = network(images)
    except Exception:  # a hundred model files end in their own ways
        return None
    parts = {n: each.cpu().numpy() for n, each in zip(Pooled.names, outputs, strict=True)}
    for pooling in POOLINGS:
        if _is_close(torch.from_numpy(mixed(parts, pooling)), taken.cpu()):
            return network, pooling
    return None


def _is_close(found: Tensor, expected: Tensor) -> bool:
    if found.shape != expected.shape:
        return False
    return float((found - expected).abs().max()) <= CLOSE * float(expected.abs().max())


def features_of(
    extractor: Extractor,
    runner: Runner,
    seen: TrainingData,
    split: str,
    rows: Tensor,
    about: tuple[str, ...],
) -> Parts:
    """Return the features of some images of a split, from the disk where they are kept.

    Args:
        extractor: What computes them.
        runner: What runs it.
        seen: The images.
        split: ``train`` or ``val``.
        rows: Which images, ``(N,)``.
        about: What decides the network's features: backbone, weights and, unless it pools, head.
    """

    def compute() -> Parts:
        return computed(runner, seen.splits[split], rows, seen.preprocess)

    if seen.whole is not None:
        return _of_whole(extractor, runner, seen.whole, split, rows, about)
    if seen.disk_cache is None:
        return compute()
    names = extractor.network.names
    content = [VERSION, timm.__version__, *about, *names, asdict(seen.preprocess)]
    digest = hashlib.sha256(json.dumps(content).encode() + rows.numpy().tobytes()).hexdigest()
    key = f"features-{seen.fingerprint}-{split}-{digest[:24]}"
    made: list[Parts] = []

    def make(folder: Path) -> None:
        made.append(compute())
        with (folder / FILE).open("wb") as file:
            np.savez(file, allow_pickle=False, **made[0])

    for _ in range(2):  # a file that cannot be read is made again
        folder = seen.disk_cache.folder(key, make)
        if made:
            return made[0]
        if folder is None:
            break
        try:
            with np.load(folder / FILE) as saved:
                parts = {name: saved[name] for name in names}
            if all(len(part) == len(rows) for part in parts.values()):
                return parts
        except UNREADABLE:
            pass
        shutil.rmtree(folder, ignore_errors=True)
    return compute()


def _of_whole(
    extractor: Extractor,
    runner: Runner,
    whole: Whole,
    split: str,
    rows: Tensor,
    about: tuple[str, ...],
) -> Parts:
    """Return the features of images of a fold, picked from those of the whole dataset."""
    sizes = {name: len(whole.data.splits[name]) for name in POOLED}
    found = [
        features_of(extractor, runner, whole.data, name, torch.arange(n), about)
        for name, n in sizes.items()
    ]
    places = getattr(whole.places, split)[rows.numpy()]
    return {name: np.concatenate([part[name] for part in found])[places] for name in found[0]}


def identity_of_features(model: nn.Module, weights: Weights, pooling: str) -> tuple[str, ...]:
    """Return what decides the features of a network beside images and preprocessing."""
    a = cast("Classifier", model).architecture
    digest = weights.sha256 or ("" if weights.path is None else sha256_of(Path(weights.path)))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    own = a.head if pooling == "own" else ""
    return (device, a.backbone, own, weights.source, str(weights.tag), digest)


def computed(runner: Runner, images: ImageSet, rows: Tensor, preprocess: Preprocess) -> Parts:
    """Return the features of some images by one pass."""
    size = runner.batch_size(preprocess.input_size)
    batches = images.batches(torch.split(rows, size))
    found = [runner(preprocess.normalize(pixels.to(runner.device))) for pixels, _ in batches]
    names = runner.network.names
    return {name: np.concatenate(parts) for name, *parts in zip(names, *found, strict=True)}


class Runner:
    """Runs a network in evaluation mode, by ONNX Runtime where that saves more than it takes.

    Args:
        network: From images to a tuple of features.
        n_pixels: Of all images that it will see.
        threads: Of one operation.
    """

    def __init__(self, network: Pooled | Headless, n_pixels: int, threads: int) -> None:
        self.network = network
        self.device = next((p.device for p in network.parameters()), torch.device("cpu"))
        self._is_exported = self.device.type == "cpu" and n_pixels >= ONNX_PIXELS
        self._threads = threads
        self._session: Run | None = None
        self._batcher: MicroBatcher | None = None

    def batch_size(self, side: int) -> int:
        """Return how many images of a size to run at a time."""
        usual = CPU_BATCH if self.device.type == "cpu" else GPU_BATCH
        return max(1, min(usual, usual * BATCH_SIDE**2 // side**2))

    def __call__(self, images: Tensor) -> list[NDArray[np.float32]]:
        """Return the features of normalized images."""
        if self._is_exported and self._session is None:
            self._session = onnx_runner(self.network, images[:N_TRIED], self._threads)
            self._is_exported = self._session is not None
        return self._eager(images) if self._session is None else self._session(images)

    def _eager(self, images: Tensor) -> list[NDArray[np.float32]]:
        """Return the features of a batch, by halves where memory does not hold it."""
        self._batcher = self._batcher or MicroBatcher(len(images))
        found: list[tuple[Tensor, ...]] = []

        def work(size: int) -> float:
            found.clear()
            half = torch.autocast(images.device.type, torch.bfloat16, enabled=images.is_cuda)
            with torch.inference_mode(), half:
                found.extend(self.network(channels_last(p)) for p in torch.split(images, size))
            return 0.0

        self._batcher.run(work, smallest=lambda: 1)
        return [torch.cat(parts).float().cpu().numpy() for parts in zip(*found, strict=True)]
