"""Which data to load, as one plain record that any process can load it from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class DataRef:
    """Everything that decides which images and labels a study sees.

    Splits that the data itself has are used as they are; ``train``, ``val`` and ``test`` say how
    to split the rest.

    Attributes:
        reader: Key of ``trainers.data.READERS``.
        root: Folder of the images, or where torchvision keeps its files.
        name: Class name of a torchvision dataset, as ``FashionMNIST``.
        download: Whether torchvision may fetch what is not there.
        train: Share in (0, 1) or count from 1 of the training split.
        val: The same of the validation split.
        test: The same of the test split; 0 for none.
        split_seed: Seed of the split.
        channels: 1 or 3; None for 1 when every image is grey, else 3.
        on_error: ``stop`` at broken images and classes, or ``skip`` and name them.
        memory_mb: Pixels kept in memory by one process, in 10^6 bytes; what does not fit is read
            from its file each time.
    """

    reader: str
    root: str | None
    name: str | None
    download: bool
    train: float
    val: float
    test: float
    split_seed: int
    channels: int | None
    on_error: Literal["stop", "skip"]
    memory_mb: float
