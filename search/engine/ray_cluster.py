"""The connection to a Ray cluster: made, explained where it fails, and its nodes listed.

The only file that starts or stops Ray. It is imported when ``engine=ray`` is asked for.
"""

from __future__ import annotations

import logging
import os
import platform
import re
import signal
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from archfront.search.errors import ConfigError
from archfront.trainers.words import quoted

# The object store of a cluster on this machine only: jobs and results of a few MB go through it.
_LOCAL_STORE_BYTES = 256 * 2**20
_ANSWER_S = 5.0  # in which the port of a cluster has to take a connection
_CLIENT = "ray://"


@dataclass(frozen=True)
class Node:
    """A living node of a cluster.

    Attributes:
        id: Ray's id of it.
        name: Name for people: that of ``ray start --node-name``, or the host with its address.
        address: IP address.
        cores: Cores that it gives to the cluster, 0 for none.
        gpus: GPUs that it gives.
        memory_gb: Memory that it gives, in GiB.
        labels: Its labels, without Ray's own.
    """

    id: str
    name: str
    address: str
    cores: float
    gpus: int
    memory_gb: float
    labels: Mapping[str, str]


@dataclass(frozen=True)
class Connection:
    """A connection to a cluster.

    Attributes:
        ray: The library.
        address: What was asked for.
        is_ours: Whether it was made here, so that it is ended here.
    """

    ray: ModuleType
    address: str
    is_ours: bool

    def nodes(self) -> list[Node]:
        """Return the nodes that are alive, in the order of their names."""
        found = [node_of(row) for row in self.ray.nodes() if row["Alive"]]
        return sorted(found, key=lambda node: (node.name, node.id))

    def close(self) -> None:
        """Leave the cluster, unless another part of the program has joined it."""
        if self.is_ours:
            self.ray.shutdown()


def connect(address: str) -> Connection:
    """Return the connection to a cluster.

    A program that is connected already stays so, whatever the address.

    Args:
        address: ``auto`` for the cluster of this machine, ``local`` for one that is started here
            and ends with the program, ``host:6379`` of a head whose network this machine is in,
            or ``ray://host:10001``.

    Raises:
        ConfigError: If there is no cluster, or it cannot be joined.
    """
    ray = _library(address)
    if ray.is_initialized():
        return Connection(ray, address, is_ours=False)
    _check_answer(address)
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == "local":
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        options |= {"include_dashboard": False, "object_store_memory": _LOCAL_STORE_BYTES}
    is_main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=address, **options)
    except Exception as error:
        raise ConfigError(f"engine.address: {_explained(ray, address, error)}") from error
    finally:
        if is_main:  # Ray puts a handler of its own there, which ends the program
            signal.signal(signal.SIGTERM, before)
    return Connection(ray, address, is_ours=True)


def _library(address: str) -> ModuleType:
    try:
        import ray

        if address.startswith(_CLIENT):
            import grpc  # noqa: F401 - Ray itself says less clearly that it is missing
    except ImportError as error:
        raise ConfigError(
            f"engine.address: Ray is not installed, or not whole ({error}): "
            "pip install 'archfront[ray]', or use engine=processes."
        ) from None
    library: ModuleType = ray
    return library


def _check_answer(address: str) -> None:
    """Check that something answers at the address of a head, for which Ray would wait long.

    Raises:
        ConfigError: If nothing does.
    """
    if address in ("auto", "local"):
        return
    host, _, port = address.removeprefix(_CLIENT).rpartition(":")
    if not host or not port.isdecimal():
        raise ConfigError(
            f"engine.address: auto, local, HOST:6379 or ray://HOST:10001 is needed; got "
            f"{quoted(address)}."
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_S).close()
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"engine.address: nothing answers at {address} ({error}). See that the head runs "
            "(`ray status` there), that the port is right (6379, or 10001 for ray://), and that "
            "no firewall closes it."
        ) from None


def _explained(ray: ModuleType, address: str, error: Exception) -> str:
    """Return in words why a cluster could not be joined."""
    said = str(error).strip() or type(error).__name__
    there = re.search(r"started with:\s+Ray: (\S+)\s+Python: (\S+)", said)
    if there or "ersion mismatch" in said:
        theirs = f"Ray {there[1]} and Python {there[2]}" if there else said.replace("\n", " ")
        return (
            f"the cluster at {address} was started with {theirs}, this program with Ray "
            f"{ray.__version__} and Python {platform.python_version()}. Both have to be exactly "
            "the same on all machines."
        )
    if isinstance(error, ConnectionError) and address == "auto":
        return (
            "no cluster runs on this machine. Start one with `ray start --head`, join one with "
            "`ray start --address=HOST:6379`, give engine.address=HOST:6379, or use "
            "engine.address=local or engine=processes."
        )
    is_token = isinstance(error, getattr(ray.exceptions, "AuthenticationError", ()))
    if is_token or re.search(r"uthenti|token|ailed to connect|UNAUTHENTICATED", said):
        return (
            f"the cluster at {address} answers, but does not let this program in "
            f"({_first_line(said)}). Most often the token is another one or missing: "
            "RAY_AUTH_MODE=token and the same RAY_AUTH_TOKEN (or ~/.ray/auth_token) are needed "
            "on every machine. A head that has just ended or is of another version of Ray looks "
            "the same."
        )
    return f"the cluster at {address} cannot be joined: {_first_line(said)}"


def _first_line(text: str) -> str:
    return text.splitlines()[0].strip().rstrip(".")


def node_of(row: Mapping[str, Any]) -> Node:
    """Return a node from its row in Ray's table."""
    given, address = row["Resources"], row["NodeManagerAddress"]
    name, host = row.get("NodeName") or "", row.get("NodeManagerHostname") or ""
    if name in ("", address):  # Ray's default name is the address
        name = f"{host} ({address})" if host else address
    labels = {k: v for k, v in row.get("Labels", {}).items() if not k.startswith("ray.io/")}
    return Node(
        id=row["NodeID"],
        name=name,
        address=address,
        cores=float(given.get("CPU", 0)),
        gpus=int(given.get("GPU", 0)),
        memory_gb=float(given.get("memory", 0)) / 2**30,
        labels=labels,
    )
