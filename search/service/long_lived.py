"""Records in memory without the cost of looking for cycles among them.

Of a study of 10,000 trials there are millions of objects. Python's collector goes over all of them
again and again while they are made, and then at any request. They have no cycles, so that they are
freed without it.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class LongLived:
    """Keeps the collector off what is made within blocks of any threads."""

    def __init__(self) -> None:
        self._lock, self._n_blocks = threading.Lock(), 0

    @contextmanager
    def made(self, *, is_large: bool) -> Iterator[None]:
        """Let the collector rest during a block, and pass over what there is at its end.

        Args:
            is_large: Whether so much is made that it matters; nothing is done otherwise.
        """
        if not is_large:
            yield
            return
        with self._lock:
            self._n_blocks += 1
            gc.disable()
        try:
            yield
        finally:
            with self._lock:
                self._n_blocks -= 1
                if not self._n_blocks:
                    gc.freeze()
                    gc.enable()
