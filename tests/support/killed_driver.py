"""A driver in a process of its own that is killed while its engine works."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support import engine_jobs
from tests.support.engine_checks import is_running
from tests.support.waiting import DEADLINE_S, eventually

ROOT = Path(engine_jobs.__file__).parents[2]


def killed_driver(made: str, folder: Path) -> list[int]:
    """Kill a driver whose job hangs; return the processes of the job, which ran until then.

    Args:
        made: Lines of Python that make its ``engine``, whose jobs are those of ``engine_jobs``.
        folder: For a file of the job.
    """
    pids = folder / "pids"
    script = f"""
import time
from archfront.search.engine.jobs import Job
from tests.support import engine_jobs
{made}
engine.submit(Job("train", ("hang with child", {str(pids)!r})))
time.sleep(600)
"""
    driver = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT)

    def has_begun() -> bool:
        assert driver.poll() is None, "The driver ended by itself."
        return pids.exists()

    try:
        eventually(has_begun)
        found = [int(pid) for pid in pids.read_text().split()]
        assert all(is_running(pid) for pid in found)
    finally:
        driver.kill()
        driver.wait(DEADLINE_S)
    return found
