"""What is said where a cluster cannot be joined; needs no Ray."""

from __future__ import annotations

import platform
import re
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from archfront.search.engine import ray_cluster
from archfront.search.engine.ray_reasons import reason_of
from archfront.search.errors import ConfigError

MISMATCH = """Version mismatch: The cluster was started with:
    Ray: 2.59.0
    Python: 3.11.2
This process on node was started with:
    Ray: 2.60.0
    Python: 3.11.7
"""


class TokenError(Exception):
    """Stands for Ray's error of that kind."""


class StandIn(ModuleType):
    """A Ray whose clusters cannot be joined, for one reason."""

    __version__ = "2.60.0"
    exceptions = SimpleNamespace(AuthenticationError=TokenError)

    def __init__(self, error: Exception) -> None:
        super().__init__("ray")
        self.error = error

    def is_initialized(self) -> bool:
        return False

    def init(self, **_: Any) -> None:
        raise self.error


@pytest.mark.parametrize(
    ("error", "address", "said"),
    [
        (
            RuntimeError(MISMATCH),
            "auto",
            "the cluster at auto was started with Ray 2.59.0 and Python 3.11.2, this program with "
            f"Ray 2.60.0 and Python {platform.python_version()}. Both have to be exactly the same",
        ),
        (
            ConnectionError("Could not find any running Ray instance."),
            "auto",
            "no cluster runs on",
        ),
        (
            RuntimeError("Failed to connect to Ray cluster at h:6379.\nMore."),
            "auto",
            "the cluster at auto answers, but does not let this program in (Failed to connect to "
            "Ray cluster at h:6379). Most often the token is another one or missing",
        ),
        (TokenError("It is wrong."), "local", "the cluster at local answers, but does not let"),
        (
            OSError("The disk is full.\n"),
            "local",
            "the cluster at local cannot be joined: The disk",
        ),
    ],
)
def test_a_cluster_that_cannot_be_joined_is_explained(
    monkeypatch: pytest.MonkeyPatch, error: Exception, address: str, said: str
) -> None:
    monkeypatch.setitem(sys.modules, "ray", StandIn(error))
    with pytest.raises(ConfigError, match=f"^{re.escape(f'engine.address: {said}')}"):
        ray_cluster.connect(address)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("127.0.0.1:1", "nothing answers at 127.0.0.1:1 ("),
        ("ray://127.0.0.1", "auto, local, HOST:6379 or ray://HOST:10001 is needed; got"),
        ("cluster", "auto, local, HOST:6379 or ray://HOST:10001 is needed; got 'cluster'."),
        ("127.0.0.1:99999", "nothing answers at 127.0.0.1:99999 ("),
    ],
)
def test_an_address_at_which_nothing_is_is_told_at_once(
    monkeypatch: pytest.MonkeyPatch, address: str, said: str
) -> None:
    for library in ("ray", "grpc"):
        monkeypatch.setitem(sys.modules, library, StandIn(AssertionError("late")))
    with pytest.raises(ConfigError, match=f"^{re.escape(f'engine.address: {said}')}"):
        ray_cluster.connect(address)


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(
        ConfigError, match=r"Ray is not installed.* pip install 'archfront\[ray\]'"
    ):
        ray_cluster.connect("auto")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "The actor died because of an error raised in its creation task, ray::A.__init__()\n"
            "ModuleNotFoundError: No module named 'archfront'",
            "No module named 'archfront': install archfront there in the same version",
        ),
        (
            "The actor died unexpectedly before finishing this task.\n\tclass_name: NodeAgent\n"
            "\tactor_id: 01\n\tpid: 12\n\tip: 10.0.0.2\nThe node was terminated: it left.",
            "The actor died unexpectedly before finishing this task. The node was terminated: it "
            "left",
        ),
        (
            "Task was killed due to the node running low on memory.\nMemory on the node",
            "Ray ended archfront's agent there since the node's memory ran out; give "
            "engine.memory_gb, or fewer engine.workers",
        ),
        (
            "The actor died unexpectedly before finishing this task.\nThe actor is dead because "
            "its worker process has died. Worker exit type: SYSTEM_ERROR Detail: [...]",
            "archfront's process there ended: somebody or the system killed it, as for want of "
            "memory, or it crashed",
        ),
        (
            "The actor died because its node has died. Node Id: 01\n\tthe actor's node was "
            "terminated unexpectedly: health check failed",
            "it ended, or Ray could not reach it any more",
        ),
        ("", "RuntimeError"),
    ],
)
def test_what_ray_says_of_a_lost_agent_becomes_a_sentence(text: str, said: str) -> None:
    assert reason_of(RuntimeError(text)) == said


def test_a_node_is_named_for_people() -> None:
    row = {
        "NodeID": "a",
        "NodeManagerAddress": "10.0.0.2",
        "NodeManagerHostname": "pi",
        "NodeName": "10.0.0.2",
        "Resources": {"CPU": 4.0, "memory": 2.0**31},
        "Labels": {"ray.io/node-id": "a", "device": "pi5"},
    }
    node = ray_cluster.node_of(row)
    assert (node.name, node.cores, node.gpus, node.memory_gb) == ("pi (10.0.0.2)", 4.0, 0, 2.0)
    assert node.labels == {"device": "pi5"}
    assert ray_cluster.node_of({**row, "NodeName": "kitchen"}).name == "kitchen"
