"""Does an export compute what eager PyTorch computes?

A network fresh from its constructor cannot tell: its logits are close to zero, whole branches
are multiplied by zero or by 1e-6, and it gives all images nearly the same answer, so that a
broken export passes. Here all weights are drawn away from where they started, the norms get
statistics of real activations, and the last layers are scaled so that their outputs spread over
the images by about 1: branches count, probabilities are not saturated, and a difference is judged
against what tells images apart.

In fewer bits than float32 this is a question of the function, not of accuracy: on such weights
right int8 versions of some networks (mobilenetv2, efficientnet) keep little of the outputs. So
the same file is compared in float32 first (by the runtime, as it loads), and what was made of
it may then differ as much as rounding explains (``rounding.py``).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from archfront.search.errors import ParityError
from archfront.search.runtimes.alignment import Aligned, unmoved

if TYPE_CHECKING:
    import torch
    from torch import nn

    from archfront.search.runtimes.protocol import LoadedModel

# Largest difference allowed, in units of the outputs' spread over the images. Right exports of
# 31 timm networks of as many kinds, 2 seeds each, differed by 2e-6 to 8e-4, median 2e-5; only
# mobileone_s0 by more (see NOISE_FACTOR).
TOLERANCE = 1e-3
# A network of random weights can magnify rounding errors beyond that: eager then differs as much
# from its own float64 (mobileone_s0: 3e-3 to 5e-3), and an export may by this many times that.
NOISE_FACTOR = 10.0
# A network whose own rounding is so large cannot be judged.
MAX_TOLERANCE = 0.1
# The root mean square difference of a reduced precision, over that which rounding by layers
# gives. Right ones of about 24 timm networks: bf16 (eager, OpenVINO) 0.35 to 2.9, int8 (ONNX
# Runtime, OpenVINO) 0.2 to 1.9, and up to 1.7 where rounding gives more than 0.4.
ROUNDING_FACTOR = {"bf16": 8.0, "fp16": 8.0, "int8": 4.0}
LEAST_ROUNDING_FACTOR = 2.0
# In units of the outputs' deviation over the images: answers that have nothing to do with eager's
# differ by 1 to 1.5. Where rounding alone does that (int8 of mobilenetv2, efficientnet on such
# weights), only the comparison in float32 tells right from wrong.
UNRELATED = 0.8
MIN_IMAGES = 8
# Under it the outputs do not tell the images apart.
MIN_SPREAD = 1e-4


def draw_images(example: torch.Tensor, seed: int) -> torch.Tensor:
    """Return at least ``MIN_IMAGES`` images, a multiple of the example's batch size.

    They differ in coarse structure and brightness: averages over white noise are all the same.
    """
    import torch
    from torch.nn.functional import interpolate

    batch_size, channels, height, width = example.shape
    n_images = batch_size * -(-MIN_IMAGES // batch_size)
    generator = torch.Generator().manual_seed(seed)
    images = torch.zeros(n_images, channels, height, width)
    for side in (1, 4, 16):
        coarse = torch.randn(n_images, channels, side, side, generator=generator)
        images += interpolate(coarse, size=(height, width), mode="bilinear", align_corners=False)
    return images / images.std()


def perturb(module: nn.Module, images: torch.Tensor, seed: int) -> None:
    """Draw a network's weights and norm statistics so that its outputs tell images apart.

    Nothing is put back: the network is of no other use afterwards.

    Args:
        module: In evaluation mode; takes ``images`` and gives a tuple of tensors.
        images: Images ``(N, C, H, W)`` that the statistics are taken from.
        seed: Seed of the draws.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            _draw(parameter, generator)
        # Some networks (levit, tiny_vit, efficientvit_m) keep what they made of a weight when
        # they ran in evaluation mode, and forget it on a change of mode.
        module.train()
        module.eval()
        _set_norms(module, images, generator)
        _spread_outputs(module, _last_layers(module, images[:1]), images)


def check_parity(
    module: nn.Module,
    model: LoadedModel,
    batches: Sequence[torch.Tensor],
    *,
    precision: str = "fp32",
    compared: Sequence[int] | None = None,
    aligned: Aligned = unmoved,
) -> float:
    """Return the largest difference of an export from eager, in units of the spread.

    Args:
        module: The network that was exported, in evaluation mode.
        model: The export, loaded.
        batches: Images of the export's batch size and image size, at least two in all.
        precision: Numeric precision of the export.
        compared: Places of the outputs to compare; all when None. The others must be there.
        aligned: Puts all outputs of an export, given second, into the order of eager's.

    Raises:
        ParityError: If a difference is over ``TOLERANCE`` of the spread over the images, and
            over what rounding explains; or if the outputs are not finite or hardly depend on
            the image, so that nothing can be said.
    """
    import torch

    with torch.inference_mode():
        expected = _stack([_arrays(module(batch)) for batch in batches])
    found = _stack([list(model.outputs(batch.numpy()).values()) for batch in batches])
    if _shapes(found) != _shapes(expected):
        raise ParityError(
            f"The export gives outputs of shapes {_shapes(found)}, eager PyTorch "
            f"{_shapes(expected)}."
        )
    judged = _Judged(expected, compared, aligned)
    largest = judged.difference(found)
    if largest <= TOLERANCE:
        return largest
    if precision != "fp32":
        _check_reduced(module, batches, found, judged, precision)
        return largest
    noise = _rounding_noise(module, batches, judged)
    allowed = max(TOLERANCE, min(NOISE_FACTOR * noise, MAX_TOLERANCE))
    # A NaN of the export compares as false, so this is not the negation of the test above.
    if not largest <= allowed:
        raise ParityError(
            f"The export differs from eager PyTorch by {largest:.2g} of the outputs' spread over "
            f"the images; allowed is {allowed:.2g}."
        )
    return largest


class _Judged:
    """Eager's outputs, as an export is compared with them.

    Args:
        expected: All outputs.
        compared: Places of those to compare; all when None.
        aligned: Puts all outputs of an export into the order of these.
    """

    def __init__(
        self, expected: list[np.ndarray], compared: Sequence[int] | None, aligned: Aligned
    ) -> None:
        self._all, self._compared, self._aligned = expected, compared, aligned
        self._expected = _some(expected, compared)
        self._spreads = [_spread(output) for output in self._expected]

    def difference(self, found: list[np.ndarray]) -> float:
        """Return the largest difference in units of the spread."""
        differences = [
            float(np.abs(one - other).max()) / spread
            for one, other, spread in zip(
                self._own(found), self._expected, self._spreads, strict=True
            )
        ]
        # max() of Python would pass over a NaN.
        return float(np.max(differences))

    def typical_difference(self, found: list[np.ndarray]) -> float:
        """Return the root mean square difference over the deviation over the images."""
        differences = [
            float(np.sqrt(np.square(one - other).mean() / other.var(axis=0).mean()))
            for one, other in zip(self._own(found), self._expected, strict=True)
        ]
        return float(np.max(differences))

    def _own(self, found: list[np.ndarray]) -> list[np.ndarray]:
        return _some(self._aligned(self._all, found), self._compared)


def _check_reduced(
    module: nn.Module,
    batches: Sequence[torch.Tensor],
    found: list[np.ndarray],
    judged: _Judged,
    precision: str,
) -> None:
    """Raise a ParityError if rounding does not explain the typical difference."""
    import torch

    from archfront.search.runtimes.rounding import rounded_outputs

    rounded = _arrays(rounded_outputs(module, torch.cat(list(batches)), precision))
    noise = judged.typical_difference(rounded)
    allowed = max(
        TOLERANCE,
        min(ROUNDING_FACTOR[precision] * noise, UNRELATED),
        LEAST_ROUNDING_FACTOR * noise,
    )
    difference = judged.typical_difference(found)
    # As above: a NaN compares as false.
    if not difference <= allowed:
        raise ParityError(
            f"The {precision} export typically differs from eager PyTorch by {difference:.2g} of "
            f"the outputs' deviation over the images; rounding explains {allowed:.2g}."
        )


def _draw(parameter: torch.Tensor, generator: torch.Generator) -> None:
    """Add noise: small against a weight's own deviation, and enough for a zero or 1e-6."""
    import torch

    noise = torch.randn(parameter.shape, generator=generator)
    if parameter.ndim <= 1:
        parameter += 0.2 * noise
    else:
        parameter += 0.25 * max(float(parameter.std(correction=0)), 0.02) * noise


def _set_norms(module: nn.Module, images: torch.Tensor, generator: torch.Generator) -> None:
    """Give norms with running statistics drawn ones near those of real activations.

    The activations are centered, but for a fifth of their size: what all images have in common
    would grow with every layer over what tells them apart (convmixer_768_32 at 224 px: rounding
    errors of twice the spread). They are scaled to half their size: networks of random weights
    with full-sized activations are chaotic, and magnify rounding errors (efficientnet_b0 in bf16
    2 to 5 times as much).
    """
    import torch

    def set_statistics(norm: Any, inputs: tuple[torch.Tensor, ...]) -> None:
        features = inputs[0].transpose(0, 1).flatten(1)
        rms = features.square().mean(1).sqrt()
        floor = 0.1 * float(rms.mean()) + 1e-4
        noise = torch.randn(rms.shape, generator=generator)
        mean = features.mean(1) + 0.2 * rms.clamp(min=floor) * noise
        variance = (features - mean[:, None]).square().mean(1).clamp(min=floor**2)
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(
            4 * variance * (0.8 + 0.4 * torch.rand(rms.shape, generator=generator))
        )

    hooks = [
        part.register_forward_pre_hook(set_statistics)
        for part in module.modules()
        if isinstance(getattr(part, "running_mean", None), torch.Tensor)
    ]
    try:
        module(images)
    finally:
        for hook in hooks:
            hook.remove()


def _last_layers(module: nn.Module, images: torch.Tensor) -> list[nn.Module]:
    """Return the convolutions and linear layers that no other follows on the way to an output.

    A detector has several, one at the end of each branch. They are found along the graph that
    autograd keeps.
    """
    import torch
    from torch import nn

    made: dict[Any, nn.Module] = {}

    def note(layer: nn.Module, _: Any, output: torch.Tensor) -> None:
        made[output.grad_fn] = layer

    kinds = (nn.Linear, nn.modules.conv._ConvNd)
    hooks = [
        part.register_forward_hook(note) for part in module.modules() if isinstance(part, kinds)
    ]
    try:
        with torch.enable_grad():
            outputs = module(images.clone().requires_grad_() * 1.0)
    finally:
        for hook in hooks:
            hook.remove()
    outputs = (outputs,) if isinstance(outputs, torch.Tensor) else outputs
    ahead = [output.grad_fn for output in outputs]
    seen, found = set(), dict[nn.Module, None]()
    while ahead:
        node = ahead.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if node in made:
            found[made[node]] = None
        else:
            ahead += [before for before, _ in node.next_functions]
    return list(found)


def _spread_outputs(module: nn.Module, layers: Sequence[nn.Module], images: torch.Tensor) -> None:
    """Scale and shift layers so that their outputs over the images have mean 0, deviation 1.

    Those of all calls, where one serves several maps.
    """
    import torch

    inputs: dict[nn.Module, list[tuple[torch.Tensor, ...]]] = {layer: [] for layer in layers}

    def note(layer: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        inputs[layer].append(given)

    hooks = [layer.register_forward_pre_hook(note) for layer in layers]
    try:
        module(images)
    finally:
        for hook in hooks:
            hook.remove()
    for layer, calls in inputs.items():
        rows = torch.cat([_rows(layer, given) for given in calls])
        deviation = float((rows - rows.mean(0)).std())
        if np.isfinite(deviation) and deviation > 0:
            part: Any = layer
            part.weight /= deviation
            if part.bias is not None:
                part.bias -= torch.cat([_rows(layer, given) for given in calls]).mean(0)


def _rows(layer: nn.Module, inputs: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """Return what a layer gives, one row of channels for each place."""
    from torch import nn

    outputs: torch.Tensor = layer(*inputs)
    channel = -1 if isinstance(layer, nn.Linear) else 1
    return outputs.transpose(channel, -1).flatten(end_dim=-2)


def _rounding_noise(module: nn.Module, batches: Sequence[torch.Tensor], judged: _Judged) -> float:
    """Return how far eager is from its own float64; 0 where it has none."""
    import torch

    exact = copy.deepcopy(module).double()
    try:
        with torch.inference_mode():
            found = _stack([_arrays(exact(batch.double())) for batch in batches])
    except RuntimeError:
        # Some networks make float32 tensors as they run, which do not mix with float64.
        return 0.0
    noise = judged.difference(found)
    return noise if np.isfinite(noise) else 0.0


def _spread(output: np.ndarray) -> float:
    """Return the mean over an output's elements of the deviation over the images."""
    if not np.isfinite(output).all():
        raise ParityError(
            "Eager PyTorch gives values that are not finite on drawn weights, so that its export "
            "cannot be judged."
        )
    spread = float(output.std(axis=0).mean())
    if spread <= MIN_SPREAD * float(np.abs(output).mean()):
        raise ParityError(
            "The network gives all images the same output on drawn weights, so that its export "
            "cannot be judged."
        )
    return spread


def _arrays(outputs: Sequence[torch.Tensor]) -> list[np.ndarray]:
    return [output.numpy() for output in outputs]


def _some(outputs: list[np.ndarray], places: Sequence[int] | None) -> list[np.ndarray]:
    return outputs if places is None else [outputs[place] for place in places]


def _stack(batches: list[list[np.ndarray]]) -> list[np.ndarray]:
    """Join each output over the batches."""
    return [np.concatenate(parts) for parts in zip(*batches, strict=True)]


def _shapes(outputs: list[np.ndarray]) -> str:
    return ", ".join(str(output.shape) for output in outputs) or "none"
