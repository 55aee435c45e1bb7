"""Micro-batches, where memory does not hold a whole batch: their gradients add up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from archfront.trainers.data.batch_targets import Targets
from archfront.trainers.errors import is_out_of_memory

MicroBatch = tuple[Tensor, Targets, float]


def micro_batches(
    images: Tensor, targets: Targets, size: int, *, least: int = 1
) -> Iterator[MicroBatch]:
    """Yield nearly equal micro-batches of at most ``size`` images, each with its share.

    Where that would leave fewer than ``least`` images in one, the others take one more.
    """
    n_images = len(images)
    n_parts = max(1, min(-(-n_images // size), n_images // least))
    bounds = [n_images * part // n_parts for part in range(n_parts + 1)]
    for start, end in pairwise(bounds):
        yield images[start:end], targets[start:end], (end - start) / n_images


def on_device(targets: Targets, device: torch.device) -> Targets:
    """Return a tensor, or the tensors of a list of mappings, on a device."""
    if isinstance(targets, Tensor):
        return targets.to(device)
    return [{name: value.to(device) for name, value in one.items()} for one in targets]


def smallest_micro_batch(model: nn.Module) -> int:
    """Return 2 where norms learn with the statistics of a batch, which one image has not."""
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.training]
    return 2 if norms else 1


class MicroBatcher:
    """Runs micro-batches, and halves their size when memory does not hold one.

    Attributes:
        size: Most images of a micro-batch; what did not fit once is not tried again.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def run(self, work: Callable[[int], float], *, smallest: Callable[[], int]) -> float:
        """Return the result of ``work(size)`` at the largest size that memory holds.

        Args:
            work: Begins anew at each call.
            smallest: Returns the size at which there is no more halving.

        Raises:
            MemoryError: Or what else the allocator raises, when even the smallest does not fit.
        """
        while True:
            try:
                return work(self.size)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error) or self.size <= smallest():
                    raise
            # Outside of the block above, which holds on to the failed attempt's tensors.
            self.size = max(smallest(), self.size // 2)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
