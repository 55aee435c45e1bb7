"""What goes to a server and comes from one: images, and exports as archives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from archfront.search.api.given_images import given_images
from archfront.search.api.remote_files import image_bytes
from archfront.search.errors import ConfigError


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.uint8(3), r"got uint8 of shape \(\)"),
        (np.array(3, np.uint8), r"got uint8 of shape \(\)"),
        (np.zeros(3, np.uint8), r"got uint8 of shape \(3,\)"),
        (np.zeros((0, 3, 3), np.uint8), r"got uint8 of shape \(0, 3, 3\)"),
        (np.zeros((2, 3, 3, 3), np.uint8), r"got uint8 of shape \(2, 3, 3, 3\)"),
        (np.zeros((3, 3)), r"got float64 of shape \(3, 3\)"),
        (torch.ones(3, 3, requires_grad=True), "values of a Tensor cannot be read"),
        (3, "the bytes of a file, .* got int"),
    ],
)
def test_what_is_no_image_is_named(value: Any, said: str) -> None:
    """A single number was a traceback, and a row of numbers was sent as an image."""
    with pytest.raises(ConfigError, match=f"^images: .*{said}"):
        image_bytes(value)


def test_values_that_cannot_be_read_are_named() -> None:
    with pytest.raises(ConfigError, match=r"values of a Tensor .* tensor\.detach\(\)"):
        given_images(torch.ones(2, 3, 3, 3, requires_grad=True))
