"""A small SLURM whose jobs are processes of this machine, by the commands that archfront calls.

It knows nodes in partitions with features, arrays, jobs that have a node for themselves and jobs
that wait. A test ends a job as SLURM would: preempted, timed out, lost with its node.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

import pytest

COMMANDS = ("sbatch", "squeue", "scancel", "sacct", "sinfo", "srun")
# A line a node: name, partitions, features, jobs at a time.
NODES = "n1 batch fast 2\nn2 device pi5 1\nn3 device slow 1\n"


class StandIn:
    """The folder of such a SLURM; its commands are found first from now on."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        (folder / "jobs").mkdir(parents=True)
        (folder / "nodes").write_text(NODES)
        commands = folder / "bin"
        commands.mkdir()
        source = Path(__file__).with_name("slurm_stand_in_commands.py").read_text("utf-8")
        text = source.replace("FOLDER_OF_JOBS", str(folder))
        for name in COMMANDS:
            (commands / name).write_text(f"#!{sys.executable} -IS\n{text}")
            (commands / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{commands}:{os.environ['PATH']}")

    def states(self) -> dict[str, str]:
        """Return the states of all jobs."""
        return {
            job.name: (job / "state").read_text().split()[0]
            for job in sorted((self._folder / "jobs").iterdir())
            if (job / "state").exists()
        }

    def script(self, name: str) -> str:
        """Return what was submitted as a job."""
        return (self._folder / "jobs" / name / "script").read_text()

    def end(self, name: str, word: str) -> None:
        """End a job that runs, as SLURM's word for it says."""
        job = self._folder / "jobs" / name
        (job / "end").write_text(word)
        with suppress(ProcessLookupError):
            os.killpg(int((job / "pid").read_text()), signal.SIGTERM)

    def lose(self, name: str) -> None:
        """Say that a job was lost with its node, which goes on."""
        (self._folder / "jobs" / name / "state").write_text("NODE_FAIL None")

    def hold(self, reason: str) -> None:
        """Let all jobs that come wait for a reason; an empty one lets them go."""
        (self._folder / "hold").write_text(reason)

    def close(self) -> None:
        """End all jobs."""
        for name, state in self.states().items():
            if state == "RUNNING":
                self.end(name, "CANCELLED")
        (self._folder / "over").touch()  # which ends the ones that wait
