"""Does an export compute what eager PyTorch computes?

Networks are compared on drawn weights (``perturb.py``), or on trained ones.

In fewer bits than float32 this is a question of the function, not of accuracy: on such weights
right int8 versions of some networks (mobilenetv2, efficientnet) keep little of the outputs. So
the same file is compared in float32 first (by the runtime, as it loads), and what was made of
it may then differ as much as rounding explains (``rounding.py``).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING

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
# A network whose own rounding is larger than this cannot be compared.
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
# Under it the outputs do not tell the images apart.
MIN_SPREAD = 1e-4


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
    eager = _EagerOutputs(expected, compared, aligned)
    largest = eager.difference(found)
    if largest <= TOLERANCE:
        return largest
    if precision != "fp32":
        _check_reduced(module, batches, found, eager, precision)
        return largest
    noise = _rounding_noise(module, batches, eager)
    allowed = max(TOLERANCE, min(NOISE_FACTOR * noise, MAX_TOLERANCE))
    # A NaN of the export compares as false, so this is not the negation of the test above.
    if not largest <= allowed:
        raise ParityError(
            f"The export differs from eager PyTorch by {largest:.2g} of the outputs' spread over "
            f"the images; allowed is {allowed:.2g}."
        )
    return largest


class _EagerOutputs:
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
    eager: _EagerOutputs,
    precision: str,
) -> None:
    """Raise a ParityError if rounding does not explain the typical difference."""
    import torch

    from archfront.search.runtimes.rounding import rounded_outputs

    rounded = _arrays(rounded_outputs(module, torch.cat(list(batches)), precision))
    noise = eager.typical_difference(rounded)
    allowed = max(
        TOLERANCE,
        min(ROUNDING_FACTOR[precision] * noise, UNRELATED),
        LEAST_ROUNDING_FACTOR * noise,
    )
    difference = eager.typical_difference(found)
    # As above: a NaN compares as false.
    if not difference <= allowed:
        raise ParityError(
            f"The {precision} export typically differs from eager PyTorch by {difference:.2g} of "
            f"the outputs' deviation over the images; rounding explains {allowed:.2g}."
        )


def _rounding_noise(
    module: nn.Module, batches: Sequence[torch.Tensor], eager: _EagerOutputs
) -> float:
    """Return the difference of eager from its own float64; 0 where it has none."""
    import torch

    exact = copy.deepcopy(module).double()
    try:
        with torch.inference_mode():
            found = _stack([_arrays(exact(batch.double())) for batch in batches])
    except RuntimeError:
        # Some networks make float32 tensors as they run, which do not mix with float64.
        return 0.0
    noise = eager.difference(found)
    return noise if np.isfinite(noise) else 0.0


def _spread(output: np.ndarray) -> float:
    """Return the mean over an output's elements of the deviation over the images."""
    if not np.isfinite(output).all():
        raise ParityError(
            "Eager PyTorch gives values that are not finite on drawn weights, so that its export "
            "cannot be compared."
        )
    spread = float(output.std(axis=0).mean())
    if spread <= MIN_SPREAD * float(np.abs(output).mean()):
        raise ParityError(
            "The network gives all images the same output on drawn weights, so that its export "
            "cannot be compared."
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
