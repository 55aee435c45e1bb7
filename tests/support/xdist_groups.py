"""Groups of tests that pytest-xdist keeps in one process, as those that share a cluster."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from _pytest.nodeid import NodeId


def name_groups(items: Iterable[pytest.Item]) -> None:
    """Put the groups of tests behind their ids, by which ``--dist loadgroup`` goes.

    pytest-xdist 3.8 does so itself, in an attribute that pytest does not read since 9.2: the tests
    of a group were spread over all processes, without a word, and each started a cluster.
    """
    for item in items:
        mark = item.get_closest_marker("xdist_group")
        if mark is not None and not item.nodeid.endswith(end := f"@{mark.args[0]}"):
            item._id = NodeId.parse(f"{item.nodeid}{end}")
