"""The images that a call from Python is given, one by one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from archfront.search.commands.predict import image_files
from archfront.search.errors import ConfigError

if TYPE_CHECKING:
    from PIL import Image


def given_images(images: Any) -> tuple[bool, list[Any]]:
    """Return whether one image is given, and the images one by one.

    What is neither a place, several values nor an image comes back as one image; whoever reads it
    says that it is none.

    Args:
        images: A path, a folder, bytes, a PIL image, an array of one or several images, or several
            of them.

    Raises:
        ArtifactError: If a file is not there, or a folder has no image.
        ConfigError: If the values of an array cannot be read.
    """
    if isinstance(images, str | Path):
        path = Path(images).expanduser()
        return not path.is_dir(), list(image_files([path]))
    if isinstance(images, bytes) or hasattr(images, "save"):
        return True, [images]
    if hasattr(images, "__array__"):
        array = values_of(images)
        return array.ndim != 4, list(array) if array.ndim == 4 else [array]
    if isinstance(images, Iterable):
        return False, list(images)
    return True, [images]


def values_of(array: Any) -> NDArray[Any]:
    """Return the values of an array of any library.

    Raises:
        ConfigError: If they cannot be read, as those of a tensor on a GPU.
    """
    try:
        return np.asarray(array)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"images: the values of a {type(array).__name__} cannot be read ({error}). Give a "
            "NumPy array, as tensor.detach().cpu().numpy()."
        ) from error


def image_of_array(array: Any) -> Image.Image:
    """Return an array of one image as an image.

    Raises:
        ConfigError: If its values or its shape are not those of an image.
    """
    pixels = values_of(array)
    has_no_image = pixels.ndim not in (2, 3) or pixels.shape[2:] > (4,) or 0 in pixels.shape
    if pixels.dtype != np.uint8 or has_no_image:
        raise ConfigError(
            "images: an array of one image is uint8 of shape (H, W) or (H, W, C) with one to four "
            f"channels; got {pixels.dtype} of shape {pixels.shape}."
        )
    return image_of(pixels)


def image_of(pixels: NDArray[np.uint8]) -> Image.Image:
    """Return values ``(H, W)`` or ``(H, W, C)`` as an image; one channel is a gray one."""
    from PIL import Image

    return Image.fromarray(pixels[..., 0] if pixels.shape[2:] == (1,) else pixels)
