"""Why a node of a cluster does not answer, or its files did not arrive, in words."""

from __future__ import annotations

from archfront.search.engine.failures import not_served
from archfront.search.engine.jobs import Broken


class LostError(Exception):
    """A node that cannot be used any more, with the reason in words."""


def lost_on_the_way(error: Exception) -> Broken:
    """Return the failure of a job whose files could not be sent or fetched."""
    if isinstance(error, LostError):
        words = f"The node was lost while files were on their way: {error}."
        return Broken("killed", words, 0.0, is_lost=True)
    return not_served("Files of the job were lost on their way", error)


def unreached(error: Exception, seconds: float) -> str:
    """Return in words that a node was not reached for so long."""
    return f"it was not reached for {seconds:g} s ({reason_of(error)})"


def reason_of(error: BaseException) -> str:
    """Return in words why an agent does not answer, from what Ray says."""
    said = str(error)
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    if "memory pressure" in said or "running low on memory" in said:
        return (
            "Ray ended archfront's agent there since the node's memory ran out; give "
            "engine.memory_gb, or fewer engine.workers"
        )
    if "its worker process has died" in said:
        return (
            "archfront's process there ended: somebody or the system killed it, as for want of "
            "memory, or it crashed"
        )
    if "its node has died" in said:
        return "it ended, or Ray could not reach it any more"
    missing = next((line for line in lines if line.startswith("ModuleNotFoundError")), None)
    if missing is not None:
        return f"{missing.partition(': ')[2]}: install archfront there in the same version"
    if getattr(error, "actor_init_failed", False) and lines:
        return lines[-1].rstrip(".")
    ends = [line for line in lines if not line.startswith(("class_name", "actor_id", "pid", "ip"))]
    ends = [line for line in ends if not line.startswith(("namespace", "name:"))]
    return " ".join(ends[-2:]).rstrip(".") or type(error).__name__
