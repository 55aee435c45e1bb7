"""Colors of classes: a fixed palette, and after it colors that are far from all before them."""

from __future__ import annotations

import colorsys
from functools import cache

import numpy as np
from numpy.typing import NDArray

Color = tuple[int, int, int]
# Okabe and Ito 2008: colors that are told apart with every kind of color vision.
PALETTE: tuple[Color, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
    (120, 120, 120),
)
N_COLORS = 64  # of more classes the colors repeat
# What the further colors are chosen from: hues, and saturations with brightnesses.
HUES = 36
SHADES = ((1.0, 1.0), (1.0, 0.75), (1.0, 0.5), (0.55, 1.0), (0.55, 0.7), (0.3, 0.95), (0.45, 0.45))
# Of the standard of sRGB (IEC 61966-2-1): linear RGB to CIE XYZ, over the white point D65.
TO_XYZ = np.array(
    [
        [0.4124 / 0.9505, 0.3576 / 0.9505, 0.1805 / 0.9505],
        [0.2126, 0.7152, 0.0722],
        [0.0193 / 1.0890, 0.1192 / 1.0890, 0.9505 / 1.0890],
    ]
)


def class_color(label: int) -> Color:
    """Return the color of a class; those of ``N_COLORS`` classes differ."""
    return _colors()[label % N_COLORS]


@cache
def _colors() -> tuple[Color, ...]:
    """Return ``N_COLORS`` colors, each the farthest from all before it.

    Source: Glasbey et al. 2007, "Colour displays for categorical images": the largest of the
    smallest distances in CIELAB decides.
    """
    wheel = [
        colorsys.hsv_to_rgb(hue / HUES, saturation, value)
        for saturation, value in SHADES
        for hue in range(HUES)
    ]
    offered = np.round(255 * np.array(wheel)).astype(int)
    chosen = list(PALETTE)
    places = _lab(offered)
    # White is the paper, and black is what words are written with.
    taken = _lab(np.array([*PALETTE, (255, 255, 255), (32, 36, 42)]))
    nearest = np.linalg.norm(places[:, None] - taken[None], axis=2).min(axis=1)
    while len(chosen) < N_COLORS:
        best = int(nearest.argmax())
        red, green, blue = (int(part) for part in offered[best])
        chosen.append((red, green, blue))
        nearest = np.minimum(nearest, np.linalg.norm(places - places[best], axis=1))
    return tuple(chosen)


def _lab(colors: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return CIELAB of sRGB colors, ``(n, 3)``."""
    shares = colors / 255
    linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    xyz = linear @ TO_XYZ.T
    roots = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = roots.T
    found: NDArray[np.float64] = np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)
    return found
