"""The contract of runtimes that measuring and the contract tests rely on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

from numpy.typing import NDArray

from archfront.search.runtimes.alignment import Aligned, unmoved

if TYPE_CHECKING:
    import torch
    from torch import nn

RunsOn = Literal["cpu", "cuda"]


@dataclass(frozen=True)
class LoadSettings:
    """How a network is loaded.

    Attributes:
        folder: Where the artifact is written; the caller removes it.
        exporter: One of the runtime's ``exporters``.
        output_names: Names of the network's outputs, in their order.
        threads: Intra-op threads.
        precision: One of the runtime's ``precisions``.
        calibration: Batches of normalized images of the example's shape. int8 takes the ranges
            of activations from them; what is exported and then reduced is compared with eager
            on them first, before it is reduced.
        compared: Places of the outputs that are compared; all when None.
        aligned: Puts all outputs into the order of eager's, where they are compared.
    """

    folder: Path
    exporter: str
    output_names: tuple[str, ...]
    threads: int = 1
    precision: str = "fp32"
    calibration: Sequence[torch.Tensor] = ()
    compared: tuple[int, ...] | None = None
    aligned: Aligned = unmoved


class LoadedModel(Protocol):
    """A network that is ready to predict, in a ``with`` block."""

    def outputs(self, images: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Return the outputs by name, in the network's order, for images ``(N, C, H, W)``.

        Raises:
            ExportError: If the runtime does not run it.
        """

    def __enter__(self) -> Self:
        """Make it ready to predict."""

    def __exit__(self, *raised: object) -> None:
        """Free what it holds, and put back what it changed in the process."""


class Session(LoadedModel, Protocol):
    """A loaded network that can be measured; its images are float32, of the example's shape.

    Attributes:
        size_mb: Size of the artifact in 10^6 bytes.
    """

    size_mb: float

    @property
    def timer(self) -> Callable[[], float] | None:
        """Return a function that predicts the example and returns its seconds by the device.

        None where a clock around ``run`` measures the same.
        """

    @property
    def device_memory_mb(self) -> float | None:
        """Return the peak of the device's memory until now, in 10^6 bytes; None on the CPU."""

    def run(self) -> None:
        """Predict the example once; return when that is done."""


class Runtime(Protocol):
    """A library that runs networks on a processor or a GPU."""

    @property
    def name(self) -> str:
        """Return its key in ``RUNTIMES``."""

    @property
    def runs_on(self) -> RunsOn:
        """Return the device kind that the networks run on."""

    @property
    def exporters(self) -> tuple[str, ...]:
        """Return the exporters of its artifact, the one to try first in front."""

    @property
    def precisions(self) -> tuple[str, ...]:
        """Return the numeric precisions that it has, float32 first."""

    def version(self) -> str:
        """Return the version of the library, without importing it.

        Raises:
            ConfigError: If the library is not installed.
        """

    def check(self, precision: str = "fp32") -> None:
        """Import the library and see that networks of this precision can run on this machine.

        Raises:
            ConfigError: If a library or the GPU is missing, or the precision is none of its.
        """

    def load(self, module: nn.Module, example: torch.Tensor, settings: LoadSettings) -> Session:
        """Return the network ready to run.

        Args:
            module: In evaluation mode, on the CPU; takes ``example`` and gives a tuple of
                tensors. It is left as it is.
            example: Images ``(N, C, H, W)``; batch and size are fixed to theirs.
            settings: How it is loaded.

        Raises:
            ConfigError: As ``check``.
            ExportError: If the exporter or the runtime does not take the network.
            ParityError: If a network that is reduced was exported wrongly.
            ValueError: If int8 has no images for calibration.
        """
