"""Receptive fields: which part of an image a value of a feature map is computed from.

The field is followed through a pass without arithmetic, operation by operation, on the meta
device: windows of convolutions and pooling widen it, attention between all positions widens it to
the whole image, attention in windows by a window. What sees the image only as its mean, as squeeze
and excitation and norms over positions, does not count: it tells no place from another.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from archfront.trainers.networks.count import run_in_parts, tensors_in, whole_attention

aten = torch.ops.aten

WHOLE = math.inf
# Positions that become fewer by this factor were merged, by slices and reshapes of tensors.
MERGED = 1.9
# Attention in windows of this share of all positions sees the whole image in a few layers.
LARGE_WINDOW = 0.25


@dataclass(frozen=True)
class Field:
    """What a tensor's positions see of the image.

    Attributes:
        sides: Height and width of the field in pixels; infinite for the whole image.
        jump: Distance of two neighboring positions, in pixels.
        positions: Number of positions.
        is_pairs: Whether the tensor holds products of positions, as the scores of attention.
    """

    sides: tuple[float, float]
    jump: float
    positions: int
    is_pairs: bool = False

    def wider(self, by: float | tuple[float, float]) -> Field:
        """Return the field with sides that are longer by so many jumps."""
        more = by if isinstance(by, tuple) else (by, by)
        height, width = (
            side + steps * self.jump for side, steps in zip(self.sides, more, strict=True)
        )
        return replace(self, sides=(height, width))

    def arranged(self, positions: int) -> Field:
        """Return the field where positions may have been merged or taken apart unseen."""
        if not 0 < positions * MERGED <= self.positions:
            return self
        ratio = math.sqrt(self.positions / positions)
        merged = self.wider(ratio - 1)
        return replace(merged, jump=self.jump * ratio, positions=positions)


def receptive_fields(network: nn.Module, images: torch.Tensor) -> list[float]:
    """Return the longer side of the field of each map that a network gives, in pixels.

    Infinite for the whole image, and for networks with recurrent layers, which go over all of it.

    Args:
        network: Gives a feature map or several; best on the meta device.
        images: One image ``(1, C, H, W)``, on the network's device.
    """
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad(), whole_attention(), _Follower(images) as follower:
            maps = list(tensors_in(network(images)))
    finally:
        network.train(was_training)
    if any(isinstance(part, nn.RNNBase) for part in network.modules()):
        return [WHOLE] * len(maps)
    return [follower.side(level) for level in maps]


class _Follower(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own
    """Keeps the field of every tensor that something of the image went into."""

    def __init__(self, images: torch.Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's own
        pixels = images.shape[-2] * images.shape[-1]
        self._fields = WeakTensorKeyDictionary({images: Field((1.0, 1.0), 1.0, pixels)})

    def side(self, tensor: torch.Tensor) -> float:
        """Return the longer side of a tensor's field; that of a mean over positions is whole."""
        field = self._field(tensor)
        return WHOLE if field is None else max(field.sides)

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run an operation, in parts where it is made of others, and follow the field."""
        kwargs = kwargs or {}
        parts = run_in_parts(self, func, args, kwargs)
        if parts is not NotImplemented:
            return parts
        inputs = list(tensors_in((*args, *kwargs.values())))
        fields = [self._field(tensor) for tensor in inputs]
        result = func(*args, **kwargs)
        outputs = list(tensors_in(result))
        if any(fields) and outputs:
            field = self._after(func.overloadpacket, args, inputs, fields, outputs[0])
            for tensor in outputs:
                if field is not None:
                    self._fields[tensor] = field
                elif tensor in self._fields:
                    del self._fields[tensor]
        return result

    def _field(self, tensor: torch.Tensor) -> Field | None:
        field: Field | None = self._fields.get(tensor)  # type: ignore[no-untyped-call]  # torch's
        return field

    def _after(
        self,
        operation: Any,
        args: tuple[Any, ...],
        inputs: Sequence[torch.Tensor],
        fields: Sequence[Field | None],
        output: torch.Tensor,
    ) -> Field | None:
        """Return the field after an operation; None for a mean over positions."""
        found = [
            (tensor.numel(), field)
            for tensor, field in zip(inputs, fields, strict=True)
            if field is not None
        ]
        field = _joined(found)
        name = operation.__name__.rstrip("_")
        if name in WINDOWS and fields[0] is not None:
            return WINDOWS[name](fields[0], args, output)
        if name in PRODUCTS:
            left, right = PRODUCTS[name]
            return _product(args[left], args[right], (fields[left], fields[right]), field)
        if name in REDUCTIONS and fields[0] is not None:
            return _reduced(fields[0], inputs[0], output)
        if name == "sum" and inputs[0].numel() >= LARGE_WINDOW * field.positions * output.numel():
            return replace(field, sides=(WHOLE, WHOLE))  # weighted by scores, as attention is
        if name == "native_layer_norm":
            rows = output.numel() // math.prod(args[1])
            return field.arranged(rows)
        return replace(field, sides=(WHOLE, WHOLE)) if name in TRANSFORMS else field


def _joined(found: Sequence[tuple[int, Field]]) -> Field:
    """Return the field of what is computed from several tensors: that of the largest, widened."""
    _, largest = max(found, key=lambda pair: pair[0])
    height, width = (max(field.sides[axis] for _, field in found) for axis in (0, 1))
    is_pairs = any(field.is_pairs for _, field in found)
    return replace(largest, sides=(height, width), is_pairs=is_pairs)


def _places(tensor: torch.Tensor) -> int:
    """Return the positions of maps ``(N, C, ...)``; windows of one image may be in N."""
    return tensor.shape[0] * math.prod(tensor.shape[2:])


def _pair(value: Any, default: int = 1) -> tuple[int, int]:
    values = list(value) if isinstance(value, list | tuple) else [value]
    first, last = (values[0], values[-1]) if values else (default, default)
    return first, last


def _convolution(field: Field, args: tuple[Any, ...], output: torch.Tensor) -> Field:
    images, weight, stride, dilation, is_transposed = args[0], args[1], args[3], args[5], args[6]
    field = field.arranged(_places(images))
    if weight.ndim != 4:  # along a list of positions or of channels
        return field if weight.shape[-1] == 1 else replace(field, sides=(WHOLE, WHOLE))
    kernel = weight.shape[2:]
    if is_transposed:
        steps = _pair(stride)
        finer = replace(field, jump=field.jump / steps[0], positions=_places(output))
        reach = [math.ceil(k / step) - 1 for k, step in zip(kernel, steps, strict=True)]
        return replace(finer, sides=field.wider((reach[0], reach[1])).sides)
    return _window(field, kernel, stride, dilation, output)


def _window(field: Field, kernel: Any, stride: Any, dilation: Any, output: torch.Tensor) -> Field:
    """Return the field after windows of positions; an empty stride is that of the kernel."""
    sides, steps = _pair(kernel), _pair(stride) if stride not in ([], ()) else _pair(kernel)
    height, width = ((k - 1) * d for k, d in zip(sides, _pair(dilation), strict=True))
    wider = field.wider((height, width))
    jump = field.jump * math.sqrt(steps[0] * steps[1])
    return replace(wider, jump=jump, positions=_places(output))


def _pooled(field: Field, args: tuple[Any, ...], output: torch.Tensor) -> Field | None:
    """Return the field after pooling; None where it leaves a single position."""
    field = field.arranged(_places(args[0]))
    if _places(output) == 1:
        return None
    dilation = args[4] if len(args) > 4 and isinstance(args[4], list) else 1
    return _window(field, args[1], args[2] if len(args) > 2 else [], dilation, output)


def _adapted(field: Field, args: tuple[Any, ...], output: torch.Tensor) -> Field | None:
    """Return the field after pooling to a size; None where that is a single position."""
    if _places(output) == 1:
        return None
    ratio = [a / b for a, b in zip(args[0].shape[-2:], output.shape[-2:], strict=True)]
    kernel = [math.ceil(one) for one in ratio]
    wider = field.wider((kernel[0] - 1, kernel[1] - 1))
    return replace(wider, jump=field.jump * ratio[0], positions=_places(output))


def _resized(reach: int) -> Callable[[Field, tuple[Any, ...], torch.Tensor], Field]:
    def resized(field: Field, args: tuple[Any, ...], output: torch.Tensor) -> Field:
        ratio = math.sqrt(_places(args[0]) / _places(output))
        wider = field.wider(reach)
        return replace(wider, jump=field.jump * ratio, positions=_places(output))

    return resized


def _unfolded(field: Field, args: tuple[Any, ...], output: torch.Tensor) -> Field:
    _, kernel, dilation, _, stride = args[:5]
    wider = _window(field, kernel, stride, dilation, output)
    return replace(wider, positions=output.shape[0] * output.shape[-1])


def _folded(field: Field, args: tuple[Any, ...], output: torch.Tensor) -> Field:
    _, _, kernel, _, _, stride = args[:6]
    finer = replace(field, jump=field.jump / _pair(stride)[0], positions=_places(output))
    height, width = _pair(kernel)
    return finer.wider((height - 1, width - 1))


def _reduced(field: Field, tensor: torch.Tensor, output: torch.Tensor) -> Field | None:
    """Return the field after a mean or maximum; None where it goes over all, or a row."""
    factor = tensor.numel() // max(output.numel(), 1)
    per_axis = set(tensor.shape[-2:]) if _places(tensor) == field.positions else set()
    return None if factor >= field.positions or factor in per_axis - {1} else field


def _product(
    left: torch.Tensor,
    right: torch.Tensor,
    fields: tuple[Field | None, Field | None],
    joined: Field,
) -> Field:
    """Return the field after a product of matrices, of two activations or with weights."""
    n_summed = left.shape[-1]
    if None in fields:
        [field] = [one for one in fields if one is not None]
        rows = (left if fields[0] is not None else right.mT).numel() // max(n_summed, 1)
        if n_summed == field.positions > 1 and rows != n_summed:  # weights of each position
            return replace(field, sides=(WHOLE, WHOLE))
        return field if left.ndim > 2 or field.is_pairs else field.arranged(rows)
    summed = fields[1]
    assert summed is not None
    if n_summed >= summed.positions:
        return replace(joined, sides=(WHOLE, WHOLE), is_pairs=False)
    if not joined.is_pairs:
        return replace(joined, is_pairs=True)
    if n_summed >= LARGE_WINDOW * summed.positions:
        return replace(joined, sides=(WHOLE, WHOLE), is_pairs=False)
    return replace(joined.wider(math.sqrt(n_summed) - 1), is_pairs=False)


Window = Callable[[Field, tuple[Any, ...], torch.Tensor], Field | None]
WINDOWS: dict[str, Window] = {
    "convolution": _convolution,
    "max_pool2d_with_indices": _pooled,
    "avg_pool2d": _pooled,
    "_adaptive_avg_pool2d": _adapted,
    "adaptive_max_pool2d": _adapted,
    "upsample_nearest2d": _resized(0),
    "_upsample_nearest_exact2d": _resized(0),
    "upsample_bilinear2d": _resized(1),
    "upsample_bicubic2d": _resized(3),
    "im2col": _unfolded,
    "col2im": _folded,
}
# Where the two matrices are among the arguments.
PRODUCTS = {"mm": (0, 1), "bmm": (0, 1), "addmm": (1, 2), "baddbmm": (1, 2)}
REDUCTIONS = {"mean", "amax", "amin", "max", "var_mean", "var", "logsumexp"}
# Of all positions at once.
TRANSFORMS = {"_fft_r2c", "_fft_c2c", "_fft_c2r"}
