"""A network that PyTorch itself runs, on the processor or a GPU, as it is or compiled."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Self

from numpy.typing import NDArray

from archfront.search.errors import ExportError
from archfront.search.runtimes.exporters import root_reason
from archfront.search.runtimes.protocol import LoadSettings, RunsOn

if TYPE_CHECKING:
    import torch
    from torch import nn

DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
Network = Callable[["torch.Tensor"], "Sequence[torch.Tensor]"]


class TorchSession:
    """A session on a network in PyTorch.

    Args:
        module: The network as it is run; its state gives the size.
        network: What is called: the module, or what a compiler made of it.
        example: Images on the CPU.
        settings: How it is loaded.
        what: The runtime in words, for errors.

    Attributes:
        during: Contexts that hold while the session is open.
    """

    def __init__(
        self,
        module: nn.Module,
        network: Network,
        example: torch.Tensor,
        settings: LoadSettings,
        what: str,
    ) -> None:
        first = next(module.parameters(), None)
        self._place = None if first is None else (first.device, first.dtype)
        self._network = network
        self._example = self._moved(example)
        self._output_names = settings.output_names
        self._what = what
        self._stack = ExitStack()
        self.during: list[Callable[[], AbstractContextManager[object]]] = [
            lambda: torch_threads(settings.threads)
        ]
        state = module.state_dict().values()
        self.size_mb = sum(tensor.numel() * tensor.element_size() for tensor in state) / 1e6

    @property
    def timer(self) -> Callable[[], float] | None:
        """Return None: a clock around ``run`` measures the same."""
        return None

    @property
    def device_memory_mb(self) -> float | None:
        """Return None: it runs on the processor."""
        return None

    def run(self) -> None:
        """Predict the example once."""
        import torch

        with torch.inference_mode():
            self._network(self._example)

    def outputs(self, images: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Return the outputs for a batch of the example's shape."""
        import torch

        # Moved outside of inference mode: compiled networks distinguish tensors made in it.
        batch = self._moved(torch.from_numpy(images))
        try:
            with torch.inference_mode():
                found = self._network(batch)
        # What a network refuses in another precision, on a GPU or compiled has no common class.
        except Exception as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise
            raise ExportError(f"{self._what} does not run it: {root_reason(error)}") from error
        arrays = (output.float().cpu().numpy() for output in found)
        return dict(zip(self._output_names, arrays, strict=True))

    def __enter__(self) -> Self:
        """Enter what holds while it is open."""
        for context in self.during:
            self._stack.enter_context(context())
        return self

    def __exit__(self, *raised: object) -> None:
        """Put back what was before."""
        self._stack.close()

    def _moved(self, images: torch.Tensor) -> torch.Tensor:
        return images if self._place is None else images.to(*self._place)


class CudaSession(TorchSession):
    """A session on a GPU, timed by events on the GPU's own clock.

    The example lies in the GPU's memory: what it takes to get an image there is not timed.
    """

    def __init__(
        self,
        module: nn.Module,
        network: Network,
        example: torch.Tensor,
        settings: LoadSettings,
        what: str,
    ) -> None:
        import torch

        # The weights came to the device before this, and are counted.
        torch.cuda.reset_peak_memory_stats()
        super().__init__(module, network, example, settings, what)
        self.during.append(exact_float32)

    @property
    def timer(self) -> Callable[[], float] | None:
        """Return the timer of the example by events."""
        return self._timed

    @property
    def device_memory_mb(self) -> float | None:
        """Return the peak of what torch held on the GPU since it was loaded."""
        import torch

        return torch.cuda.max_memory_allocated() / 1e6

    def run(self) -> None:
        """Predict the example once, and wait for the GPU."""
        import torch

        super().run()
        torch.cuda.synchronize()

    def _timed(self) -> float:
        import torch

        start, end = cuda_event(), cuda_event()
        with torch.inference_mode():
            start.record()
            self._network(self._example)
            end.record()
        end.synchronize()
        return float(start.elapsed_time(end)) / 1e3

    def __exit__(self, *raised: object) -> None:
        """Put back what was before, and free the memory of the GPU."""
        import torch

        super().__exit__(*raised)
        del self._network, self._example
        torch.cuda.empty_cache()


def cuda_event() -> Any:
    """Return an event that the GPU marks with the time."""
    import torch

    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]


def moved(module: nn.Module, runs_on: RunsOn, precision: str) -> nn.Module:
    """Return the network on a device in a precision; the module itself where it is there."""
    import torch

    if runs_on == "cpu" and precision == "fp32":
        return module
    dtype = getattr(torch, DTYPES[precision])
    return copy.deepcopy(module).to(device=torch.device(runs_on), dtype=dtype)


def session_on(runs_on: RunsOn) -> type[TorchSession]:
    """Return the kind of session for a device."""
    return CudaSession if runs_on == "cuda" else TorchSession


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Run torch on ``threads`` intra-op threads inside the block."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def exact_float32() -> Iterator[None]:
    """Keep float32 what it says on a GPU: by default convolutions round to TF32's 10 bits."""
    import torch

    matmul, conv = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, conv.allow_tf32
    matmul.allow_tf32 = conv.allow_tf32 = False
    try:
        yield
    finally:
        matmul.allow_tf32, conv.allow_tf32 = before
