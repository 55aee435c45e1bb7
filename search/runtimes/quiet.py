"""A context in which libraries print, warn and log nothing."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Keep warnings, log messages and what goes to standard error from people in the block.

    Errors are raised all the same. Standard output is left alone: it may be showing progress.
    """
    with warnings.catch_warnings(), _logging_off(), _standard_error_closed():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _logging_off() -> Iterator[None]:
    """Drop log messages, and keep ``logging.warning`` from setting up a handler for them."""
    nowhere, before = logging.NullHandler(), logging.root.manager.disable
    logging.root.addHandler(nowhere)
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
        logging.root.removeHandler(nowhere)


@contextmanager
def _standard_error_closed() -> Iterator[None]:
    """Send what the process writes to its standard error nowhere, also from C++."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(nowhere)
        os.close(kept)
