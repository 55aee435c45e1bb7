"""Passes of networks without arithmetic, in which equal modules run once on equal inputs.

On the meta device a module's outputs follow from what it is made of and from the shapes that it is
given. Most blocks of a network are the same as the one before, and as those of its siblings, so
that what one of them gave is given again, with what it added to a count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import _get_current_dispatch_mode

from archfront.trainers.networks.count import Counter, PassCounts

Call = Callable[..., Any]
Args = tuple[Any, ...]
PLAIN = {
    type(None),
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    torch.Size,
    torch.dtype,
    torch.device,
    torch.memory_format,
}
NAMED = (type, FunctionType, BuiltinFunctionType, Enum)
# What every module has; hooks among them are left out where there are none.
USUAL = frozenset(vars(nn.Module()))
# Calling these takes less than looking them up.
FREE = (nn.Identity, nn.Dropout)


class _Unknown(Exception):
    """Something of which is not known what it stands for."""


@dataclass(frozen=True)
class _Tensor:
    """A tensor that is made again: its shape and strides, and whether images went into it."""

    shape: torch.Size
    stride: tuple[int, ...]
    dtype: torch.dtype
    is_from_images: bool


@dataclass(frozen=True)
class _Input:
    """An output that is an input itself, by its place among the tensors that came in."""

    place: int


@dataclass(frozen=True)
class _Seen:
    outputs: Any
    counts: PassCounts | None


class MetaCache:
    """Outputs of modules on the meta device, kept for equal modules of any network.

    While it is entered, networks that are called without grad go through it.

    A module equals another when it is of the same class and has the same attributes: numbers,
    texts, functions and modules, and tensors of the same shapes. What is of any other kind equals
    only itself. Nothing is kept of a pass that changed an attribute; it is done again as it
    would be without. Networks with hooks are left alone.
    """

    def __init__(self) -> None:
        self._numbers: dict[Any, int] = {}  # of signatures, so that they compare at once
        self._kept: dict[int, Any] = {}  # so that no other object gets the same id
        self._seen: dict[Any, _Seen] = {}
        self._fresh: list[Any] = []
        self._network: nn.Module | None = None  # the last one
        self._signatures: dict[int, int] = {}  # of its modules, by their ids
        self._is_inside = False

    def __enter__(self) -> MetaCache:
        """Take the place of the call of every module, as torch.fx does while it traces."""
        self._call = call = nn.Module.__call__

        def recalled(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
            if self._is_inside:
                return self._inner(call, module, args, kwargs)
            if torch.is_grad_enabled() or not any(_is_meta(arg) for arg in args):
                return call(module, *args, **kwargs)
            return self._outer(call, module, args, kwargs)

        nn.Module.__call__ = recalled  # type: ignore[method-assign]
        return self

    def __exit__(self, *error: object) -> None:
        """Put it back, and let the last network go."""
        nn.Module.__call__ = self._call  # type: ignore[method-assign]
        self._network, self._signatures = None, {}

    def _outer(self, call: Call, network: nn.Module, args: Args, kwargs: dict[str, Any]) -> Any:
        counter = _counter()
        counts = None if counter is None else counter.counts()
        if network is not self._network:
            try:
                self._network, self._signatures = network, self._signed(network)
            except _Unknown:
                self._network = None
                return call(network, *args, **kwargs)
        self._is_inside, self._fresh = True, []
        try:
            result, error = self._inner(call, network, args, kwargs), None
        except Exception as refusal:
            result, error = None, refusal
        finally:
            self._is_inside = False
        before, self._signatures = self._signatures, self._signed(network)
        if self._signatures == before:
            if error is not None:
                raise error
            return result
        for key in self._fresh:
            del self._seen[key]
        if counter is not None and counts is not None:
            counter.add(counts - counter.counts())
        try:
            return call(network, *args, **kwargs)
        finally:
            self._signatures = self._signed(network)

    def _inner(self, call: Call, module: nn.Module, args: Args, kwargs: dict[str, Any]) -> Any:
        number = self._signatures.get(id(module))
        if number is None or isinstance(module, FREE):
            return call(module, *args, **kwargs)
        counter = _counter()
        tensors: list[torch.Tensor] = []
        try:
            given = _given((args, tuple(kwargs.items())), tensors, counter)
        except _Unknown:
            return call(module, *args, **kwargs)
        key = (number, counter is None, given)
        seen = self._seen.get(key)
        if seen is not None:
            if counter is not None and seen.counts is not None:
                counter.add(seen.counts)
            return _made(seen.outputs, tensors, counter)
        before = None if counter is None else counter.counts()
        result = call(module, *args, **kwargs)
        try:
            if given != _given((args, tuple(kwargs.items())), [], counter):
                return result  # an input was written to, or became one of the images
            outputs = _outputs(result, tensors, counter)
        except _Unknown:
            return result
        counts = None if counter is None or before is None else counter.counts() - before
        self._seen[key] = _Seen(outputs, counts)
        self._fresh.append(key)
        return result

    def _signed(self, network: nn.Module) -> dict[int, int]:
        """Return numbers by the ids of the modules; equal modules have equal numbers."""
        found: dict[int, int] = {}
        self._module(network, found, {id(network)})
        return found

    def _module(self, module: nn.Module, found: dict[int, int], above: set[int]) -> int:
        number = found.get(id(module))
        if number is None:
            if module._forward_hooks or module._forward_pre_hooks:
                raise _Unknown
            content = (type(module), *self._attributes(vars(module), found, above))
            number = self._numbers.setdefault(content, len(self._numbers))
            found[id(module)] = number
        return number

    def _attributes(
        self, attributes: dict[str, Any], found: dict[int, int], above: set[int]
    ) -> Iterator[Any]:
        for name, value in attributes.items():
            if value or name not in USUAL:
                yield name
                yield self._content(value, found, above)

    def _content(self, value: Any, found: dict[int, int], above: set[int]) -> Any:
        kind = type(value)
        if kind in PLAIN:
            return (kind, value)
        if isinstance(value, torch.Tensor):
            if not value.is_meta:  # it may decide what is done
                return self._itself(value)
            return (kind, value.shape, value.stride(), value.dtype)
        if isinstance(value, NAMED):
            return ("named", value)
        if id(value) in above:
            return self._itself(value)
        above.add(id(value))
        try:
            return self._parts(value, found, above)
        finally:
            above.discard(id(value))

    def _parts(self, value: Any, found: dict[int, int], above: set[int]) -> Any:
        kind = type(value)

        def inner(part: Any) -> Any:
            return self._content(part, found, above)

        if isinstance(value, nn.Module) and not isinstance(value, torch.jit.ScriptModule):
            return ("module", self._module(value, found, above))
        if isinstance(value, list | tuple):
            return (kind, *map(inner, value))
        if isinstance(value, dict):
            return (kind, *((inner(name), inner(part)) for name, part in value.items()))
        if isinstance(value, set | frozenset):
            return (kind, frozenset(map(inner, value)))
        if isinstance(value, partial):
            return (kind, inner(value.func), inner(value.args), inner(value.keywords))
        if isinstance(value, MethodType):
            return (kind, value.__func__, inner(value.__self__))
        if is_dataclass(value):
            return (kind, *((f.name, inner(getattr(value, f.name))) for f in fields(value)))
        return self._itself(value)

    def _itself(self, value: Any) -> Any:
        self._kept[id(value)] = value
        return ("object", id(value))


def _is_meta(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.is_meta


def _counter() -> Counter | None:
    mode = _get_current_dispatch_mode()
    return mode if isinstance(mode, Counter) else None


def _given(value: Any, tensors: list[torch.Tensor], counter: Counter | None) -> Any:
    """Return keys for arguments, and add the tensors among them to a list."""
    if isinstance(value, torch.Tensor):
        if not value.is_meta:
            raise _Unknown
        place = next((i for i, tensor in enumerate(tensors) if tensor is value), None)
        if place is not None:
            return _Input(place)
        tensors.append(value)
        is_from_images = counter is not None and counter.is_from_images(value)
        return ("tensor", value.shape, value.stride(), value.dtype, is_from_images)
    if type(value) in PLAIN:
        return (type(value), value)
    if isinstance(value, list | tuple):
        return (type(value), *(_given(part, tensors, counter) for part in value))
    raise _Unknown


def _outputs(value: Any, inputs: list[torch.Tensor], counter: Counter | None) -> Any:
    if isinstance(value, torch.Tensor):
        place = next((i for i, tensor in enumerate(inputs) if tensor is value), None)
        if place is not None:
            return _Input(place)
        storage = value.untyped_storage()._cdata
        if not value.is_meta or any(i.untyped_storage()._cdata == storage for i in inputs):
            raise _Unknown  # another look at an input, which may be written to
        is_from_images = counter is not None and counter.is_from_images(value)
        return _Tensor(value.shape, value.stride(), value.dtype, is_from_images)
    if type(value) in PLAIN:
        return value
    if type(value) in (list, tuple):
        return type(value)(_outputs(part, inputs, counter) for part in value)
    raise _Unknown


def _made(outputs: Any, inputs: list[torch.Tensor], counter: Counter | None) -> Any:
    if isinstance(outputs, _Tensor):
        made = torch.empty_strided(
            outputs.shape, outputs.stride, dtype=outputs.dtype, device="meta"
        )
        if counter is not None and outputs.is_from_images:
            counter.mark([made])
        return made
    if isinstance(outputs, _Input):
        return inputs[outputs.place]
    if type(outputs) in (list, tuple):
        return type(outputs)(_made(part, inputs, counter) for part in outputs)
    return outputs
