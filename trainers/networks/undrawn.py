"""Networks without memory for their weights, built without the work of drawing them."""

from __future__ import annotations

from typing import Any

import torch
from torch.overrides import TorchFunctionMode

# Operations that draw first weights (the error function's inverse cuts a normal distribution), and
# those that change the drawn weights.
DRAWING = frozenset(("uniform_", "normal_", "kaiming_uniform_", "erfinv_"))
FILLING = DRAWING | {"constant_", "mul_", "add_", "clamp_", "fill_", "zero_"}


class Undrawn(TorchFunctionMode):
    """Skips filling tensors on meta, which is most of the time that building a network takes.

    Whatever has memory is drawn as ever, so that torch's seed moves on as without this mode.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Return a tensor on meta that was to be filled unchanged."""
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in FILLING:
            filled = args[0] if args else kwargs.get("tensor")
            if isinstance(filled, torch.Tensor) and filled.is_meta:
                return filled
        return func(*args, **kwargs)
