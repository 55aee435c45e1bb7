"""The browser of the tests that need a real one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.browser import launched


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Give a browser to the tests of a file; each opens a page that shares nothing with others."""
    with launched() as browser:
        yield browser
