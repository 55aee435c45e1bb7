"""The Ray cluster that the tests of engines share, and an engine on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from archfront.search.engine.cluster_engine import ClusterEngine
from archfront.search.engine.placement import ClusterNeeds
from archfront.search.engine.submitit_engine import SubmititEngine
from tests.support import engine_checks, engine_jobs, private_nodes
from tests.support.private_nodes import PrivateNode
from tests.support.ray_cluster import LOOK_S, small_cluster


@pytest.fixture(autouse=True)
def _own_children() -> None:
    """Let a test count its own children only."""
    engine_checks.note_children()


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[Any]:
    """Return a Ray cluster with one node, which this process has joined."""
    with small_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def private_node(
    ray_cluster: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PrivateNode]:
    """Return a node that sees none of the driver's folders."""
    with private_nodes.private_node(ray_cluster, tmp_path_factory.mktemp("private")) as node:
        yield node


@pytest.fixture(scope="session")
def sending_engine(private_node: PrivateNode) -> Iterator[Callable[[], ClusterEngine]]:
    """Return what gives an open engine whose jobs all run at a node that gets their files."""
    needs = ClusterNeeds(
        address=private_node.address,
        labels=private_nodes.LABELS,
        device_label=private_nodes.LABELS,
        shared=str(private_node.root),
        read=(str(private_node.data),),
        look_s=LOOK_S,
    )
    yield from _kept_open(needs)


@pytest.fixture(scope="session")
def ray_engine(ray_cluster: Any) -> Iterator[Callable[[], ClusterEngine]]:
    """Return what gives an open engine: the same one until a test has closed it."""
    yield from _kept_open(ClusterNeeds(address=ray_cluster.address, look_s=LOOK_S))


def _kept_open(needs: ClusterNeeds) -> Iterator[Callable[[], ClusterEngine]]:
    engines: list[ClusterEngine] = []

    def opened() -> ClusterEngine:
        if not engines or engines[-1].is_closed:
            engine = ClusterEngine(engine_jobs.perform, workers=1, threads=1, needs=needs)
            engines.append(engine)
        return engines[-1]

    yield opened
    for engine in engines:
        engine.close()


@pytest.fixture(scope="session")
def submitit_engine() -> Iterator[Callable[[], SubmititEngine]]:
    """Return what gives an open engine on this machine: the same one until a test closed it."""
    pytest.importorskip(
        "submitit", reason="submitit is not installed: pip install 'archfront[slurm]'"
    )
    engines: list[SubmititEngine] = []

    def opened() -> SubmititEngine:
        if not engines or engines[-1].is_closed:
            engines.append(SubmititEngine(engine_jobs.perform, workers=1, threads=1))
        return engines[-1]

    yield opened
    for engine in engines:
        engine.close()
