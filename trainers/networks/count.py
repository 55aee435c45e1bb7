"""Costs of a network before anything is timed, counted operation by operation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

aten = torch.ops.aten


@dataclass(frozen=True)
class OpCounts:
    """Exact counts of one forward pass of one image.

    Attributes:
        params: Parameters, shared ones once.
        macs: Multiply-accumulates of convolutions and matrix products, attention's included.
        acts: Output elements of the same, as fvcore and timm count activations.
        elements: Output elements of all operations that compute or copy something of the image:
            memory traffic.
        n_ops: How many such operations there are, which is about the number of kernels.
        macs_by: ``macs`` by ``MAC_KINDS``.
        elements_by: ``elements`` by ``ELEMENT_KINDS``.
    """

    params: int
    macs: int
    acts: int
    elements: int
    n_ops: int
    macs_by: tuple[int, ...]
    elements_by: tuple[int, ...]


@dataclass(frozen=True)
class PassCounts:
    """Counts of a part of a pass: MACs and elements by kind, activations, operations."""

    values: tuple[int, ...]

    def __sub__(self, other: PassCounts) -> PassCounts:
        """Return the counts since another moment."""
        return PassCounts(tuple(a - b for a, b in zip(self.values, other.values, strict=True)))


def count_costs(model: nn.Module, example: torch.Tensor) -> OpCounts:
    """Return the counts of a network for one image.

    Norms, activations and pooling are no multiply-accumulates, as in the figures that timm
    publishes. The model runs once in evaluation mode, on any device (``meta`` included), and is
    left in the mode in which it came.

    Args:
        model: Takes ``example`` as its one argument.
        example: Images ``(N, C, H, W)``, on the model's device.
    """
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad(), whole_attention(), Counter(example) as counter:
            model(example)
    finally:
        model.train(was_training)
    images = example.shape[0]
    macs_by = tuple(counter.macs[kind] // images for kind in MAC_KINDS)
    elements_by = tuple(counter.elements[kind] // images for kind in ELEMENT_KINDS)
    return OpCounts(
        params=sum(parameter.numel() for parameter in model.parameters()),
        macs=sum(macs_by),
        acts=counter.acts // images,
        elements=sum(elements_by),
        n_ops=counter.n_ops,
        macs_by=macs_by,
        elements_by=elements_by,
    )


@contextmanager
def whole_attention() -> Iterator[None]:
    """Let attention be made of its products on every device, as exporters write it.

    The fused kernels differ by device, and the fast path of ``nn.MultiheadAttention`` hides a
    whole layer behind one operation.
    """
    was_fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(was_fast)


class Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own
    """Adds up every operation that reaches a kernel.

    Operations on weights alone, as the standardization of a filter or the look-up of a table of
    relative positions, are neither elements nor operations: exporters fold them into constants.
    Their products stay among ``macs`` and ``acts``, as in the published figures.
    """

    def __init__(self, images: torch.Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's own
        self.macs = dict.fromkeys(MAC_KINDS, 0)
        self.elements = dict.fromkeys(ELEMENT_KINDS, 0)
        self.acts = self.n_ops = 0
        self._from_images = WeakTensorKeyDictionary({images: True})

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run an operation, in parts where it is made of others, and count it."""
        kwargs = kwargs or {}
        parts = run_in_parts(self, func, args, kwargs)
        if parts is not NotImplemented:
            return parts
        inputs = list(tensors_in((*args, *kwargs.values())))
        result = func(*args, **kwargs)
        outputs = list(tensors_in(result))
        if not outputs or func.overloadpacket in CONSTANT:
            return result
        kind = self._add_product(func.overloadpacket, args, outputs[0])
        if any(tensor in self._from_images for tensor in inputs):
            self.mark(outputs)
            if func._schema.is_mutable and inputs[0]._base is not None:  # a part was written
                self.mark([inputs[0]._base])
            if not func.is_view and func.overloadpacket not in FREE:
                # But in lists, the rest are statistics, indices and states.
                written = outputs if isinstance(result, list) else outputs[:1]
                kind = kind or _element_kind(func.overloadpacket)
                self.elements[kind] += sum(tensor.numel() for tensor in written)
                self.n_ops += 1
        return result

    def counts(self) -> PassCounts:
        """Return the counts so far."""
        macs, elements = tuple(self.macs.values()), tuple(self.elements.values())
        return PassCounts((*macs, *elements, self.acts, self.n_ops))

    def add(self, counts: PassCounts) -> None:
        """Add what another module of the same kind gave on inputs of the same shapes."""
        *by_kind, acts, n_ops = counts.values
        for kind, count in zip(MAC_KINDS, by_kind, strict=False):
            self.macs[kind] += count
        for kind, count in zip(ELEMENT_KINDS, by_kind[len(MAC_KINDS) :], strict=True):
            self.elements[kind] += count
        self.acts += acts
        self.n_ops += n_ops

    def is_from_images(self, tensor: torch.Tensor) -> bool:
        """Return whether something of the images went into a tensor."""
        return tensor in self._from_images

    def mark(self, tensors: list[torch.Tensor]) -> None:
        """Note that something of the images went into these."""
        for tensor in tensors:
            self._from_images[tensor] = True

    def _add_product(
        self, operation: Any, args: tuple[Any, ...], output: torch.Tensor
    ) -> str | None:
        """Count a product and return the kind of its elements; None where it is none."""
        count = PRODUCTS.get(operation)
        if count is None:
            return None
        macs, n_acts = count(args, output)
        kind = _product_kind(operation, args)
        self.macs[kind] += macs
        self.acts += n_acts
        return "grouped" if kind == "grouped" else "product"


def _product_kind(operation: Any, args: tuple[Any, ...]) -> str:
    if operation is not aten.convolution:
        return "matmul"
    if args[-1] > 1:
        return "grouped"
    return "pointwise" if set(args[1].shape[2:]) == {1} else "spatial"


def _element_kind(operation: Any) -> str:
    name = operation.__name__.rstrip("_")  # in place or not
    return next((kind for kind, names in ELEMENTWISE.items() if name in names), "plain")


def run_in_parts(
    mode: TorchDispatchMode, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Return the result of an operation that is made of others, each of which a mode sees.

    Under inference mode such operations arrive whole. Others give ``NotImplemented``.
    """
    if func.namespace == "aten" and torch._C._dispatch_has_kernel_for_dispatch_key(
        func.name(), torch._C.DispatchKey.CompositeImplicitAutograd
    ):
        with mode:
            return func.decompose(*args, **kwargs)
    return NotImplemented


def tensors_in(values: Any) -> Iterator[torch.Tensor]:
    """Yield the tensors in lists of arguments or results."""
    if isinstance(values, torch.Tensor):
        yield values
    elif isinstance(values, list | tuple):
        for value in values:
            yield from tensors_in(value)


Count = Callable[[tuple[Any, ...], torch.Tensor], tuple[int, int]]


def _convolution(args: tuple[Any, ...], output: torch.Tensor) -> tuple[int, int]:
    images, weight, is_transposed = args[0], args[1], args[6]
    # One of the two meets every weight of a filter once per place.
    places = images if is_transposed else output
    return places.shape[0] * prod(places.shape[2:]) * weight.numel(), output.numel()


def _product(first: int) -> Count:
    """Return the count of ``(..., n, k) @ (..., k, m)`` whose left side is that argument."""

    def count(args: tuple[Any, ...], output: torch.Tensor) -> tuple[int, int]:
        return output.numel() * args[first].shape[-1], output.numel()

    return count


def _attention(args: tuple[Any, ...], output: torch.Tensor) -> tuple[int, int]:
    query, key, value = args[:3]
    scores = query.numel() // query.shape[-1] * key.shape[-2]
    macs = scores * (query.shape[-1] + value.shape[-1])
    return macs, scores + output.numel()


def _lstm(args: tuple[Any, ...], output: torch.Tensor) -> tuple[int, int]:
    # oneDNN's whole layer; elsewhere an LSTM arrives as its products.
    sequence, weights, state = args[0], args[1], args[2]
    steps = sequence.numel() // sequence.shape[-1]
    return steps * (weights.numel() + state.numel()), steps * 2 * weights.shape[0]


PRODUCTS: dict[Any, Count] = {
    aten.convolution: _convolution,
    aten.mm: _product(0),
    aten.bmm: _product(0),
    aten.mv: _product(0),
    aten.dot: _product(0),
    aten.linear: _product(0),
    aten.addmm: _product(1),
    aten.baddbmm: _product(1),
    aten.addmv: _product(1),
    aten._scaled_dot_product_flash_attention: _attention,
    aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    aten._scaled_dot_product_efficient_attention: _attention,
    aten._scaled_dot_product_cudnn_attention: _attention,
    aten._scaled_dot_product_fused_attention_overrideable: _attention,
    aten.mkldnn_rnn_layer: _lstm,
}
# Multiply-accumulates by what does them: convolutions of one group and several pixels, of one
# pixel, of several groups (depthwise ones mostly), and matrix products.
MAC_KINDS = ("spatial", "pointwise", "grouped", "matmul")
# Operations by what an element of them costs; all others are "plain".
ELEMENTWISE: dict[str, set[str]] = {
    # Exponentials and the like, or a sum over what is written.
    "math": {
        "_safe_softmax",
        "_softmax",
        "elu",
        "erf",
        "exp",
        "gelu",
        "hardsigmoid",
        "hardswish",
        "linalg_vector_norm",
        "mish",
        "native_group_norm",
        "native_layer_norm",
        "pow",
        "sigmoid",
        "silu",
        "softplus",
        "tanh",
    },
    # Copies to another place.
    "moved": {
        "_upsample_bilinear2d_aa",
        "cat",
        "clone",
        "constant_pad_nd",
        "copy",
        "gather",
        "index",
        "reflection_pad2d",
        "roll",
        "stack",
        "upsample_bicubic2d",
        "upsample_bilinear2d",
        "upsample_nearest2d",
    },
    # What runtimes merge into the product before it.
    "merged": {
        "_native_batch_norm_legit_no_training",
        "hardtanh",
        "native_batch_norm",
        "relu",
    },
}
# Elements by the operation that writes them, products of several groups and others first.
ELEMENT_KINDS = ("product", "grouped", *ELEMENTWISE, "plain")
# Operations that give another look at the same memory.
FREE = {
    aten.detach,
    aten.alias,
    aten.lift_fresh,
    aten._unsafe_view,
    aten._reshape_alias,
    aten.resize_,
    aten.set_,
}
# Operations that take from a tensor only its shape.
CONSTANT = {
    aten.empty_like,
    aten.zeros_like,
    aten.ones_like,
    aten.full_like,
    aten.new_empty,
    aten.new_empty_strided,
    aten.new_zeros,
    aten.new_ones,
    aten.new_full,
}
