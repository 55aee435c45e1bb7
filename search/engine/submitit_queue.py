"""Queues that submitit fills with jobs: that of SLURM, and processes of this machine."""

from __future__ import annotations

import contextlib
import io
import math
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from archfront.search.engine import slurm_commands
from archfront.search.engine.failures import last_lines
from archfront.search.engine.queue_needs import QueueNeeds
from archfront.search.engine.slurm_commands import (
    JobState,
    SlurmError,
    called,
    check_commands,
    refusal,
    states_of,
)
from archfront.search.engine.submitit_pilot import Pilot
from archfront.search.errors import ConfigError

_LOG_BYTES = 4096
# Variables of SLURM that say where it is, and not which job this is.
_OF_THE_SITE = ("SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_CLUSTERS", "SLURM_JWT")
_END_S = 10.0  # in which a process ends that was told to


class JobQueue(Protocol):
    """A queue of jobs.

    Attributes:
        pauses_s: Seconds between looks at messages: where some come, and where none do.
        look_s: Seconds between looks at the states of jobs.
        gather_s: How long jobs are gathered before an array of them is submitted.
    """

    pauses_s: tuple[float, float]
    look_s: float
    gather_s: float

    def submit(
        self, pilots: Sequence[Pilot], *, measures: bool, excluded: Iterable[str] = ()
    ) -> list[str]:
        """Submit jobs, which are alike, and return their ids.

        Args:
            pilots: What they call.
            measures: Whether they need a node of the device for themselves.
            excluded: Nodes that they must not get.

        Raises:
            ConfigError: If the queue refuses them.
            SlurmError: If the queue does not answer.
        """

    def states(self, ids: Sequence[str]) -> dict[str, JobState]:
        """Return the states of jobs.

        Raises:
            SlurmError: If the queue does not answer.
        """

    def cancel(self, ids: Sequence[str]) -> None:
        """End jobs, wherever they are."""

    def output_of(self, name: str) -> str:
        """Return the end of what a job printed as a clause for a message."""

    def close(self) -> None:
        """End all jobs."""


def queue_of(needs: QueueNeeds, folder: Path, *, name: str, cores: int, slots: int) -> JobQueue:
    """Return the queue that is asked for.

    Args:
        needs: What is asked.
        folder: Folder for the files of its jobs, which all nodes see.
        name: Name of the jobs, which nothing else has.
        cores: Cores of a training.
        slots: Trainings at a time.

    Raises:
        ConfigError: If it is not there.
    """
    try:
        import submitit
    except ImportError as error:
        raise ConfigError(
            f"engine: submitit is not installed, or not whole ({error}): "
            "pip install 'archfront[slurm]', or use engine=processes."
        ) from None
    if needs.cluster == "local":
        return LocalQueue(submitit, needs, folder, slots=slots)
    check_commands()
    return SlurmQueue(submitit, needs, folder, name=name, cores=cores, slots=slots)


class SlurmQueue:
    """SLURM's queue.

    A process of its own waits for the end of this one, however that comes, and then cancels all
    jobs by their name.
    """

    pauses_s = (0.2, 2.0)  # a file server is asked so often for each job
    look_s = 10.0
    gather_s = 1.0

    def __init__(
        self,
        submitit: ModuleType,
        needs: QueueNeeds,
        folder: Path,
        *,
        name: str,
        cores: int,
        slots: int,
    ) -> None:
        self._submitit, self._needs, self._folder = submitit, needs, folder
        self._name, self._cores, self._slots = name, cores, slots
        self._canceller = subprocess.Popen(
            ["sh", "-c", 'cat > /dev/null; exec scancel --quiet --name="$0"', name],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def submit(
        self, pilots: Sequence[Pilot], *, measures: bool, excluded: Iterable[str] = ()
    ) -> list[str]:
        """Submit an array of jobs; see ``JobQueue``."""
        hidden = not (measures or self._needs.gpus)
        executor = self._submitit.SlurmExecutor(
            self._folder, max_num_timeout=0, python=_python(hides_gpus=hidden)
        )
        executor.update_parameters(**self.parameters(measures=measures, excluded=excluded))
        with _outside_of_jobs():
            return _submitted(self._submitit, executor, pilots)

    def parameters(self, *, measures: bool, excluded: Iterable[str] = ()) -> dict[str, Any]:
        """Return the parameters of jobs for submitit's executor; None leaves one out.

        Jobs are never given to another node by SLURM (``no-requeue``): their work is tried again
        by another job. They run without srun, which would give a measurement one core of its
        node.
        """
        needs = self._needs
        flags = {name: True if text == "true" else text for name, text in needs.sbatch.items()}
        common = {
            "job_name": self._name,
            "time": needs.job_minutes,
            "nodes": 1,
            "ntasks_per_node": 1,
            "account": needs.account,
            "qos": needs.qos,
            "stderr_to_stdout": True,
            "use_srun": False,
            "wckey": None,
            "array_parallelism": -(-self._slots // needs.per_job),
            "exclude": ",".join(sorted(excluded)) or None,
            "additional_parameters": {"no-requeue": True, **flags},
        }
        if measures:
            return common | {
                "partition": needs.device_partition or needs.partition,
                "constraint": needs.device_constraint or needs.constraint,
                "exclusive": True,
                "mem": "0",  # all of the node's
            }
        memory = needs.memory_gb
        return common | {
            "partition": needs.partition,
            "constraint": needs.constraint,
            "cpus_per_task": self._cores * needs.per_job,
            "mem": None if memory is None else f"{math.ceil(1024 * memory * needs.per_job)}M",
            "gres": f"gpu:{math.ceil(needs.gpus)}" if needs.gpus else None,
        }

    def states(self, ids: Sequence[str]) -> dict[str, JobState]:
        """Return the states of jobs."""
        return states_of(ids) if ids else {}

    def cancel(self, ids: Sequence[str]) -> None:
        """End jobs; that SLURM does not know one any more is no matter."""
        with contextlib.suppress(SlurmError):
            called("scancel", "--quiet", *ids)

    def output_of(self, name: str) -> str:
        """Return the end of what a job printed as a clause for a message."""
        return _output(self._folder, name)

    def close(self) -> None:
        """Cancel all jobs by their name, later where SLURM does not answer; repeatable."""
        assert self._canceller.stdin is not None
        self._canceller.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):  # then it goes on by itself
            self._canceller.wait(slurm_commands.ANSWER_S)


class LocalQueue:
    """Processes of this machine in place of a queue."""

    pauses_s = (0.005, 0.1)
    look_s = 0.2
    gather_s = 0.0

    def __init__(
        self, submitit: ModuleType, needs: QueueNeeds, folder: Path, *, slots: int
    ) -> None:
        self._submitit, self._needs, self._folder = submitit, needs, folder
        self._slots = slots
        self._jobs: dict[str, Any] = {}

    def submit(
        self, pilots: Sequence[Pilot], *, measures: bool, excluded: Iterable[str] = ()
    ) -> list[str]:
        """Start a process for each job; see ``JobQueue``."""
        executor = self._submitit.LocalExecutor(
            self._folder, max_num_timeout=0, python=_python(hides_gpus=False)
        )
        executor.update_parameters(
            timeout_min=self._needs.job_minutes,
            gpus_per_node=math.ceil(self._needs.gpus * self._slots),
            stderr_to_stdout=True,
        )
        return _submitted(self._submitit, executor, pilots, self._jobs)

    def states(self, ids: Sequence[str]) -> dict[str, JobState]:
        """Return the states of jobs."""
        ended, running = JobState("ended", "ENDED"), JobState("running", "RUNNING")
        return {name: ended if self._jobs[name].done() else running for name in ids}

    def cancel(self, ids: Sequence[str]) -> None:
        """End jobs, and wait until they have ended."""
        left = [name for name in ids if not self._jobs[name].done()]
        until = time.monotonic() + _END_S
        while left and time.monotonic() < until:
            for name in left:  # again, since one that begins passes nothing on
                os.kill(int(name), signal.SIGTERM)
            time.sleep(0.02)
            left = [name for name in left if not self._jobs[name].done()]
        for name in left:
            os.kill(int(name), signal.SIGKILL)

    def output_of(self, name: str) -> str:
        """Return the end of what a job printed as a clause for a message."""
        return _output(self._folder, name)

    def close(self) -> None:
        """End all jobs; repeatable."""
        self.cancel(list(self._jobs))


def _submitted(
    submitit: ModuleType,
    executor: Any,
    pilots: Sequence[Pilot],
    jobs: dict[str, Any] | None = None,
) -> list[str]:
    """Submit jobs and return their ids, and the jobs themselves in a mapping.

    Raises:
        ConfigError: If the queue refuses them.
        SlurmError: If the queue does not answer.
    """
    errors = submitit.core.utils
    try:
        # submitit prints what sbatch says, and it is part of the message here. No Ctrl-C reaches
        # what is started: the driver ends it.
        with contextlib.redirect_stderr(io.StringIO()), _without_interrupts():
            found = executor.submit_array(list(pilots))
    except (errors.FailedJobError, errors.FailedSubmissionError) as error:
        raise refusal(str(error)) from error
    except OSError as error:
        raise ConfigError(f"engine: the jobs cannot be submitted: {error}.") from error
    if jobs is not None:
        jobs |= {job.job_id: job for job in found}
    return [job.job_id for job in found]


def _python(*, hides_gpus: bool) -> str:
    """Return the command of a job's Python, which imports what this one can."""
    paths = os.pathsep.join(os.path.abspath(path) for path in sys.path)
    variables = [f"PYTHONPATH={paths}", *(["CUDA_VISIBLE_DEVICES="] if hides_gpus else [])]
    return shlex.join(["env", *variables, sys.executable])


def _output(folder: Path, name: str) -> str:
    found = sorted(folder.glob(f"{name}_*_log.*"))
    text = ""
    for file in found:
        with contextlib.suppress(OSError):
            text += file.read_bytes()[-_LOG_BYTES:].decode(errors="replace")
    return last_lines(text)


@contextlib.contextmanager
def _outside_of_jobs() -> Iterator[None]:
    """Take what says that this program runs in a job itself out of the environment.

    A job that is submitted in the block would take over that job's memory and numbers.
    """
    inner = ("SLURM_", "SLURMD_", "SRUN_", "SUBMITIT_")
    names = [name for name in os.environ if name.startswith(inner) and name not in _OF_THE_SITE]
    before = {name: os.environ.pop(name) for name in names}
    try:
        yield
    finally:
        os.environ.update(before)


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Hold Ctrl-C back in the block, and for ever in the processes that are started there."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
