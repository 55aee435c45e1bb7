"""Rows of pixels in a file without a name, so that memory does not grow with the images."""

from __future__ import annotations

import os
import weakref
from tempfile import mkstemp
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from archfront.trainers.data.images import Pixels


class PixelRows(Protocol):
    """Arrays of pixels that are read by their numbers."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the number of rows and the shape of each."""

    def __getitem__(self, rows: NDArray[np.int64], /) -> Pixels:
        """Return some rows."""


class StoredRows:
    """Arrays of one shape, written one after the other and read by their numbers.

    Indexing with an array of rows gives an array, as of numpy. The file goes with the object.

    Attributes:
        shape: Number of rows and the shape of each.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        """Make an empty file.

        Args:
            shape: Of a row.
        """
        self._file, name = mkstemp(prefix="archfront-")
        os.unlink(name)
        weakref.finalize(self, os.close, self._file)
        self.shape: tuple[int, ...] = (0, *shape)

    def append(self, row: Pixels) -> None:
        """Write another row.

        Raises:
            OSError: If the disk is full.
        """
        n, *shape = self.shape
        assert row.shape == tuple(shape)
        os.pwrite(self._file, row.tobytes(), n * row.nbytes)
        self.shape = (n + 1, *shape)

    def __getitem__(self, rows: NDArray[np.int64], /) -> Pixels:
        """Return some rows, by an array of their numbers of any shape."""
        found = np.empty((rows.size, *self.shape[1:]), np.uint8)
        for row, number in zip(found, rows.ravel().tolist(), strict=True):
            if os.preadv(self._file, [row], number * row.nbytes) != row.nbytes:
                raise IndexError(f"row {number} of {self.shape[0]}")
        return found.reshape(*rows.shape, *self.shape[1:])


class SomeRows:
    """Rows of others, under numbers of their own."""

    def __init__(self, rows: StoredRows, numbers: NDArray[np.int64]) -> None:
        """Choose rows.

        Args:
            rows: All of them.
            numbers: Those that are meant, in their order.
        """
        self._rows, self._numbers = rows, numbers
        self.shape = (len(numbers), *rows.shape[1:])

    def __getitem__(self, rows: NDArray[np.int64], /) -> Pixels:
        """Return some of the chosen rows."""
        return self._rows[self._numbers[rows]]
