"""One record of how an image becomes a network's input, for training, export and prediction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from archfront.trainers.data.image_files import WHOLE_RANGE, PixelLimit, ValueRange
from archfront.trainers.data.images import Pixels, to_pixels
from archfront.trainers.data.tiles import Tile, Tiling, whole

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]
Resize = Literal["squash", "crop", "pad"]
# What is beside an image that does not fill the square: the grey that YOLO took.
PAD_VALUE = 114

FILTERS: Mapping[Interpolation, Image.Resampling] = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


@dataclass(frozen=True)
class Preprocess:
    """From an image of any size to the input of a network.

    Calling it gives uint8 pixels, which are kept and augmented; ``normalize`` gives the floats
    that the network sees. Shrinking is antialiased (Pillow's filters, whose 8-bit arithmetic is
    exact on every machine).

    Attributes:
        input_size: Side of the square result in pixels.
        channels: 1 or 3; others are converted, color to grey by ITU-R 601 weights.
        mean: Per channel, for values 0..1.
        std: Per channel, for values 0..1.
        interpolation: Filter of the resize.
        resize: ``squash`` the whole image into the square, ``crop`` its central square, or
            ``pad`` it to one: the image keeps its shape and lies at the upper left.
        tiling: How an image is cut, where each tile is resized by itself; None for whole images.
        value_range: Of images with 16 bits a pixel, the values that become 0 and 255; None where
            the dataset has none, so that the whole range counts.
    """

    input_size: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: Interpolation = "bilinear"
    resize: Resize = "squash"
    tiling: Tiling | None = None
    value_range: ValueRange | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be applied."""
        if self.channels not in (1, 3) or self.input_size < 1:
            raise ValueError(f"{self.channels=} must be 1 or 3 and {self.input_size=} positive")
        if not len(self.mean) == len(self.std) == self.channels or min(self.std) <= 0:
            raise ValueError(
                f"{self.mean=} and {self.std=} need {self.channels} values each, std above 0"
            )
        if self.interpolation not in FILTERS or self.resize not in get_args(Resize):
            raise ValueError(f"{self.interpolation=} or {self.resize=} is not known")
        low, high = self.value_range or WHOLE_RANGE
        if not WHOLE_RANGE[0] <= low < high <= WHOLE_RANGE[1]:
            raise ValueError(f"{self.value_range=} must rise within {WHOLE_RANGE}")

    def __call__(self, image: Pixels | Image.Image) -> Tensor:
        """Return uint8 ``(channels, input_size, input_size)``.

        Args:
            image: uint8 ``(H, W)``, ``(H, W, 1)`` or ``(H, W, 3)``, or any Pillow image.
        """
        import torch

        return torch.from_numpy(self.pixels(image).transpose(2, 0, 1).copy())

    def pixels(self, image: Pixels | Image.Image) -> Pixels:
        """Return the same as an array ``(input_size, input_size, channels)``."""
        range_ = self.decoding.value_range
        values = to_pixels(image, range_) if isinstance(image, Image.Image) else image
        flat = values[..., 0] if values.shape[-1] == 1 and values.ndim == 3 else values
        resized = np.asarray(self._resized(flat)).reshape(self.input_size, self.input_size, -1)
        return np.broadcast_to(resized, (*resized.shape[:2], self.channels))

    def normalized(self, images: Pixels) -> NDArray[np.float32]:
        """Return the result of ``normalize`` for an array, without torch."""
        shape = (self.channels, 1, 1)
        mean = np.array(self.mean, np.float32).reshape(shape)
        std = np.array(self.std, np.float32).reshape(shape)
        values: NDArray[np.float32] = images.astype(np.float32) * (1 / (255 * std)) + (-mean / std)
        return values

    def normalize(self, images: Tensor, *, dtype: torch.dtype | None = None) -> Tensor:
        """Return ``(images / 255 - mean) / std`` of uint8 ``(N, C, S, S)``, layout kept.

        In float32 unless another type is asked for.
        """
        import torch

        dtype = dtype or torch.float32
        shape = (self.channels, 1, 1)
        mean = torch.tensor(self.mean, dtype=dtype, device=images.device).view(shape)
        std = torch.tensor(self.std, dtype=dtype, device=images.device).view(shape)
        return torch.addcmul(-mean / std, images.to(dtype), 1 / (255 * std))

    @property
    def decoding(self) -> PixelLimit:
        """Return how image files are read for the network."""
        return PixelLimit(value_range=self.value_range or WHOLE_RANGE)

    @property
    def geometry(self) -> tuple[int | float | str, ...]:
        """Return the fields that decide how uint8 pixels are cut and resized."""
        cut = () if self.tiling is None else ("tiles", self.tiling.size, self.tiling.overlap)
        return self.input_size, self.channels, self.interpolation, self.resize, *cut

    def tiles(self, width: int, height: int) -> tuple[Tile, ...]:
        """Return the parts of an image that become an input each; one without a tiling."""
        if self.tiling is None:
            return (whole(width, height),)
        return self.tiling.tiles(width, height)

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON content; ``from_dict`` gives the equal record back.

        Without a tiling or a range of values nothing is said of it.
        """
        content = {**asdict(self), "mean": list(self.mean), "std": list(self.std)}
        if self.tiling is None:
            del content["tiling"]
        if self.value_range is None:
            del content["value_range"]
        else:
            content["value_range"] = list(self.value_range)
        return content

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Preprocess:
        """Return the record whose ``as_dict`` this is."""
        rest = dict(content)
        cut, values = rest.pop("tiling", None), rest.pop("value_range", None)
        tiling = None if cut is None else Tiling(**cut)
        value_range = None if values is None else (int(values[0]), int(values[1]))
        mean, std = tuple(rest.pop("mean")), tuple(rest.pop("std"))
        return cls(mean=mean, std=std, tiling=tiling, value_range=value_range, **rest)

    def _resized(self, values: Pixels) -> Pixels | Image.Image:
        height, width = values.shape[:2]
        is_color = values.ndim == 3
        if height == width == self.input_size and is_color <= (self.channels == 3):
            return values
        image = Image.fromarray(np.ascontiguousarray(values))
        if is_color and self.channels == 1:
            image = image.convert("L")
        if self.resize == "pad":
            return self._padded(image)
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        box = (left, top, left + side, top + side) if self.resize == "crop" else None
        size = (self.input_size, self.input_size)
        return image.resize(size, FILTERS[self.interpolation], box=box)

    def scale(self, width: int, height: int) -> tuple[float, float]:
        """Return input pixels per pixel of an image of this size, along x and y.

        Raises:
            ValueError: For ``crop``, in which parts of the image have no place.
        """
        if self.resize == "crop":
            raise ValueError("a cropped image has pixels without a place in the input")
        if self.resize == "pad":
            return (self.input_size / max(width, height),) * 2
        return self.input_size / width, self.input_size / height

    def inside(self, width: int, height: int) -> tuple[int, int]:
        """Return the part of the square that an image of this size fills, in whole pixels."""
        scales = self.scale(width, height)
        across, down = (max(1, round(n * s)) for n, s in zip((width, height), scales, strict=True))
        return across, down

    def _padded(self, image: Image.Image) -> Image.Image:
        square = Image.new(image.mode, (self.input_size, self.input_size), _grey(image.mode))
        size = self.inside(*image.size)
        square.paste(image.resize(size, FILTERS[self.interpolation]), (0, 0))
        return square


def _grey(mode: str) -> int | tuple[int, ...]:
    return (PAD_VALUE,) * 3 if mode == "RGB" else PAD_VALUE
