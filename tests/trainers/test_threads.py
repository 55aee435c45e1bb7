"""How many threads the driver takes, which does not load torch, and the workers, which do."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from archfront.search.engine.threads import thread_budget
from archfront.trainers.threads import cores, threads

PROGRAM = (
    "import sys; from archfront.trainers.threads import threads; "
    "print(threads(), 'torch' in sys.modules)"
)


@pytest.mark.parametrize(
    ("allowed", "expected"),
    [("3", 3), ("", cores()), ("0", cores()), ("many", cores()), ("2,1", cores())],
)
def test_without_torch_the_environment_tells_else_the_cores(allowed: str, expected: int) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": allowed}
    command = [sys.executable, "-c", PROGRAM]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.split() == [str(expected), "False"]


def test_with_torch_they_are_what_its_operations_have() -> None:
    with thread_budget(3):
        assert threads() == 3
    assert threads() == torch.get_num_threads()
