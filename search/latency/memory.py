"""The peak memory of loading and running a network.

What is counted is by how much the resident memory of a process grows, at its peak, from before
the artifact is opened until it has run a few times: weights as the runtime keeps them, what it
needs while it reads and optimizes the file, buffers of the activations, and the runtime's own
code as far as it is touched. The library's import and the images come before, and do not count.

A worker that measured other networks has memory to hand out that it never gave back and code
that is loaded already: in one process the figures of eleven networks were up to 60 % under those
of fresh ones, depending on what came before. So an artifact is opened in a process of its own,
without torch, which costs 0.1 to 0.4 s; fresh processes agree to 2 %.

Where PyTorch itself runs the network, on the processor, a process of its own would import torch
for seconds. There it is the weights and the peak of what PyTorch's own allocator holds during one
run, which is the same every time; the scratch memory of the libraries below is not in it. On a GPU
the session gives the peak of the device's memory.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from archfront.search.errors import ExportError
from archfront.search.latency.pace import Step
from archfront.search.runtimes.quiet import quiet

# The buffers of the first run are not all: some are sized by what it used.
RUNS = 3
TIMEOUT_S = 120.0
_BOOT = (
    "import sys; sys.path[:] = sys.argv[5:]; "
    "from archfront.search.latency.memory import main; main()"
)


def artifact_mb(runtime: str, artifact: Path, threads: int, precision: str) -> float:
    """Return the peak growth of a fresh process that opens an artifact and runs it, in 10^6 bytes.

    Args:
        runtime: Key of ``OPENERS``.
        artifact: The file.
        threads: Intra-op threads.
        precision: What it computes in.

    Raises:
        ExportError: If that process fails, as where the memory does not suffice.
    """
    paths = (os.path.abspath(path) for path in sys.path)
    command = [
        sys.executable,
        "-c",
        _BOOT,
        runtime,
        str(artifact),
        str(threads),
        precision,
        *paths,
    ]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise ExportError(
            f"A process of its own did not open and run the file within {TIMEOUT_S:g} s."
        ) from None
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise ExportError(
            f"A process of its own that opens and runs the file ended with {done.returncode}: "
            f"{last[:200]}"
        )
    return float(done.stdout.split()[-1])


def growth_mb(work: Callable[[], object]) -> float:
    """Return by how much this process's resident memory grows at the peak of some work.

    Memory that was freed before goes back to the system first, as far as the C library can. Where
    the system keeps no peak that can be set back, as on macOS and Windows, it is the growth from
    before to after.
    """
    _give_back()
    has_peak = _reset_peak()
    before = _status_mb("VmRSS") if has_peak else _resident_mb()
    work()
    after = _status_mb("VmHWM") if has_peak else _resident_mb()
    return max(0.0, after - before)


def allocated_mb(step: Step) -> float:
    """Return the most that PyTorch's allocator holds for one run of a step, in 10^6 bytes.

    What it held before, as the weights, is not counted.
    """
    from torch.autograd.profiler import profile

    with quiet(), profile(profile_memory=True) as profiled:
        step()
    held = peak = 0
    for event in profiled.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()  # below zero where it is given back
            peak = max(peak, held)
    return peak / 1e6


def growth_of(runtime: str, artifact: Path, threads: int, precision: str) -> float:
    """Return this process's growth by an artifact; arguments and value as of ``artifact_mb``."""
    open_artifact = OPENERS[runtime]()

    def work() -> None:
        run = open_artifact(artifact, threads, precision)
        for _ in range(RUNS):
            run()

    return growth_mb(work)


def main() -> None:
    """Write this process's growth for ``runtime artifact threads precision`` of its command."""
    runtime, artifact, threads, precision = sys.argv[1:5]
    sys.stdout.write(f"{growth_of(runtime, Path(artifact), int(threads), precision)}\n")


# Opens an artifact for a number of threads and a precision; returns a function that runs it once.
Opener = Callable[[Path, int, str], Step]


def _onnxruntime() -> Opener:
    import numpy as np
    import onnxruntime  # noqa: F401  # before the growth is counted

    from archfront.search.runtimes import open_onnx

    def open_artifact(path: Path, threads: int, precision: str) -> Step:
        inference = open_onnx(path, threads)  # the precision is in the file
        feed = {node.name: np.zeros(node.shape, np.float32) for node in inference.get_inputs()}
        return lambda: inference.run(None, feed)

    return open_artifact


def _openvino() -> Opener:
    import numpy as np

    from archfront.search.runtimes.openvino import open_openvino, openvino_library

    library = openvino_library()

    def open_artifact(path: Path, threads: int, precision: str) -> Step:
        network = open_openvino(path, threads, precision)
        request = network.create_infer_request()
        images = np.zeros(tuple(network.input(0).shape), np.float32)
        request.set_input_tensor(library.Tensor(images, shared_memory=False))
        return lambda: request.infer(share_outputs=True)

    return open_artifact


# Each imports its library and returns what opens an artifact.
OPENERS: dict[str, Callable[[], Opener]] = {"onnxruntime": _onnxruntime, "openvino": _openvino}


def _give_back() -> None:
    """Return what was freed to the system, where the C library is glibc."""
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def _reset_peak() -> bool:
    """Set the peak of this process to what it has now; return whether that is possible."""
    try:
        # See man 5 proc: 5 resets the peak resident set size.
        Path("/proc/self/clear_refs").write_text("5")
        _status_mb("VmHWM")
    except (OSError, KeyError):
        return False
    return True


def _status_mb(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    fields = {key: value for key, _, value in (line.partition(":") for line in lines)}
    return int(fields[name].split()[0]) * 1024 / 1e6


def _resident_mb() -> float:
    return float(psutil.Process(os.getpid()).memory_info().rss) / 1e6
