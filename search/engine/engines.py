"""The table of engines: in this process, in persistent workers, or on the nodes of a cluster."""

from __future__ import annotations

from archfront.search.engine.cluster_engine import ClusterEngine
from archfront.search.engine.inline import InlineEngine
from archfront.search.engine.jobs import Engine
from archfront.search.engine.processes import ProcessEngine
from archfront.search.engine.submitit_engine import SubmititEngine

# An engine's ``isolates`` says whether a job that crashes or hangs harms nothing but itself.
ENGINES: dict[str, type[Engine]] = {
    "inline": InlineEngine,
    "processes": ProcessEngine,
    "ray": ClusterEngine,
    "submitit": SubmititEngine,
}
