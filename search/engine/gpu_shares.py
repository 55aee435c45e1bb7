"""Trainings that share a GPU: how many of them, which of a node's GPUs each has, and how much."""

from __future__ import annotations

import os
import subprocess

from archfront.trainers.words import count_of

# So much of a GPU's memory is for the trainings that share it. The rest is for CUDA itself, which
# takes about half a GiB for each process.
SHARED = 0.9
_ANSWER_S = 20.0  # a driver that nothing keeps loaded takes seconds to start
# What torch reads of its allocator, the older name last.
_ALLOCATOR = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")


def sharing(gpus: float) -> int:
    """Return how many trainings share a GPU.

    Args:
        gpus: GPUs of one training: a whole number or 1/n.
    """
    return round(1 / gpus) if 0 < gpus < 1 else 1


def trainings_held(memory_gb: float, gpus: float, each_gb: float) -> int:
    """Return how many trainings the memory of a GPU holds.

    Args:
        memory_gb: Of the GPU, in GiB.
        gpus: GPUs of one training, which has all of the memory where it shares none.
        each_gb: What one training takes of a GPU, in GiB.
    """
    return int(memory_gb * (1.0 if gpus >= 1 else SHARED) // each_gb)


def memory_text(memory_gb: float, gpus: float, each_gb: float) -> str:
    """Return the memory of a GPU beside what a training takes of it, in words."""
    shared = "" if gpus >= 1 else f", of which those that share one get {memory_gb * SHARED:.1f}"
    return f"its GPUs have {memory_gb:.1f} GiB{shared}, a training takes {each_gb:g}"


def memory_fault(memory_gb: float, gpus: float, each_gb: float | None) -> str:
    """Return that a GPU does not hold all trainings that are to share it; empty if it does.

    Args:
        memory_gb: Of the GPU, in GiB; 0 where it is not known.
        gpus: GPUs of one training.
        each_gb: What one training takes of a GPU, in GiB; None where it does not matter.
    """
    if not (memory_gb and gpus and each_gb):
        return ""
    held = trainings_held(memory_gb, gpus, each_gb)
    if held >= sharing(gpus):
        return ""
    fit = f": {count_of(held, 'training fits', 'trainings fit')}, not {sharing(gpus)}"
    return f"{memory_text(memory_gb, gpus, each_gb)}{fit if held else ''}"


def slots_of_gpus(visible: str, gpus: float, workers: int) -> tuple[dict[str, str], ...]:
    """Return the environment of each worker by turns, so that no two train on what is one's own.

    Workers that share a GPU are told to torch's allocator by what it may take: more than that is
    as if the GPU were full.

    Args:
        visible: Ids of the GPUs that there are, with commas between.
        gpus: GPUs of one worker; 0 leaves its environment as it is.
        workers: How many workers there are.
    """
    ids = [name for name in visible.split(",") if name]
    if not gpus or not ids:
        return ()
    if gpus >= 1:
        n = int(gpus)
        parts = [ids[i : i + n] for i in range(0, len(ids) - n + 1, n)]
        return tuple({"CUDA_VISIBLE_DEVICES": ",".join(part)} for part in parts)
    n_sharing = -(-workers // len(ids))
    own = next((os.environ[name] for name in _ALLOCATOR if os.environ.get(name)), "")
    cap = f"per_process_memory_fraction:{SHARED / n_sharing:.4f}"
    allocator = {_ALLOCATOR[0]: f"{own},{cap}" if own else cap} if n_sharing > 1 else {}
    return tuple({"CUDA_VISIBLE_DEVICES": name} | allocator for name in ids)


def gpu_memory_gb() -> float:
    """Return the memory of the smallest GPU that this process may use, in GiB; 0 if not known.

    It is asked of NVIDIA's driver: torch would take some of it for the answer. Where this process
    may use none, as one that Ray gave none, it is that of the machine's GPUs.
    """
    fields = ("index", "uuid", "memory.total")
    try:
        said = subprocess.run(
            ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_ANSWER_S,
            stdin=subprocess.DEVNULL,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return 0.0
    return smallest_gb(said, os.environ.get("CUDA_VISIBLE_DEVICES", ""))


def smallest_gb(said: str, visible: str) -> float:
    """Return the memory of the smallest visible GPU in what nvidia-smi prints, in GiB.

    Args:
        said: Lines of index, UUID and MiB; what is no number, as of a GPU in parts, is left out.
        visible: Ids of the visible ones, which may be shortened UUIDs; empty for all.
    """
    ids = [name.strip() for name in visible.split(",") if name.strip()]
    rows = [[part.strip() for part in line.split(",")] for line in said.splitlines()]
    found = [
        int(mib) / 1024
        for index, uuid, mib in (row for row in rows if len(row) == 3)
        if mib.isdecimal() and (not ids or index in ids or _names(ids, uuid))
    ]
    return min(found, default=0.0)


def _names(ids: list[str], uuid: str) -> bool:
    """Return whether one of the ids is a UUID or its beginning."""
    return any(not name.isdecimal() and uuid.startswith(name) for name in ids)
