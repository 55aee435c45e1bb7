from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.xdist_groups import name_groups


@pytest.fixture
def item(request: pytest.FixtureRequest) -> Iterator[pytest.Item]:
    """Return the test itself, which has its own id again afterwards."""
    before = request.node._id
    yield request.node
    request.node._id = before


@pytest.mark.xdist_group("clusters")
@pytest.mark.parametrize("name", ["ray, [files] sent"])
def test_a_group_stands_behind_the_id_of_its_tests(item: pytest.Item, name: str) -> None:
    """One cluster was started for each process of the tests."""
    alone = item.nodeid.removesuffix("@clusters")
    for _ in range(2):
        name_groups([item])
        assert item.nodeid == f"{alone}@clusters"


def test_a_test_without_a_group_keeps_its_id(item: pytest.Item) -> None:
    before = item.nodeid
    name_groups([item])
    assert item.nodeid == before
