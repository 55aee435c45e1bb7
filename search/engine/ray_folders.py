"""The driver's folders on their way to the nodes of a cluster that do not see them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from archfront.search.engine.file_sets import FileSets
from archfront.search.engine.file_transfer import deliver
from archfront.search.engine.placement import ClusterNeeds, Fit
from archfront.search.engine.ray_node import NodeLink
from archfront.search.errors import ConfigError, DataError

if TYPE_CHECKING:
    from archfront.search.records.events import Follower

_PACKS = 12  # on their way to all nodes at a time: they lie in the driver's object store


class FolderSender:
    """The sender of folders, each of which is listed and read once.

    Args:
        needs: What is asked of the cluster.
        emit: Takes events.
    """

    def __init__(self, needs: ClusterNeeds, emit: Follower) -> None:
        self._needs, self._emit = needs, emit
        self._sets = FileSets(needs.read, without=needs.shared, outline=needs.outline)
        self._packs = threading.BoundedSemaphore(_PACKS)

    def check(self, fits: Sequence[Fit]) -> None:
        """Check that what is to be sent can be read, before anything else begins.

        Raises:
            ConfigError: If it cannot.
        """
        sources = [path for path in self._needs.read if any(path in fit.sent for fit in fits)]
        self._sets.text(sources)
        if sources and self._sets.question is not None:
            try:
                self._sets.outlined()
            except DataError as error:
                raise ConfigError(str(error)) from error

    def send(self, link: NodeLink) -> None:
        """Send a node the files that it does not see.

        Raises:
            Exception: If that fails; its text says why.
        """
        from archfront.search.records.events import FilesSent, Noticed

        node, sent = link.node.name, link.fit.sent
        sources = [path for path in sent if path != self._needs.shared]
        if self._needs.shared in sent:
            self._emit(Noticed(f"node {node}: what its jobs write is brought back"))
        if not sources:
            return
        self._emit(Noticed(f"node {node}: gets {', '.join(sources)} ({self._sets.text(sources)})"))

        def call(name: str, *arguments: Any) -> Any:
            with self._packs if name == "receive" else nullcontext():
                return link.files(name, *arguments)

        deliver(call, self._sets, sources, lambda mb, of: self._emit(FilesSent(node, mb, of)))
