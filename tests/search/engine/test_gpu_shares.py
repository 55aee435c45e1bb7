"""The GPUs of workers: their own, or a part of one that torch's allocator keeps to."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from archfront.search.engine.gpu_shares import (
    memory_fault,
    sharing,
    slots_of_gpus,
    smallest_gb,
)
from archfront.search.engine.node_facts import Question, facts_of
from archfront.search.engine.processes import ProcessEngine
from tests.support.engine_checks import train, value
from tests.support.engine_jobs import perform

SMI = "0, GPU-aa11, 24576\n1, GPU-bb22, 81920\n2, GPU-cc33, [N/A]\n3, GPU-dd44, 8192\n"


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no settings of torch's allocator."""
    for name in ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("gpus", "n"), [(0, 1), (1, 1), (4, 1), (0.5, 2), (1 / 3, 3), (0.0625, 16)]
)
def test_a_part_of_a_gpu_says_how_many_share_it(gpus: float, n: int) -> None:
    assert sharing(gpus) == n


@pytest.mark.parametrize(
    ("visible", "gpus", "workers"),
    [("0,1,2,3", 1, ["0", "1", "2", "3"]), ("4,7,9", 2, ["4,7"]), ("0", 0, []), ("", 1, [])],
)
def test_no_two_workers_train_on_one_gpu(visible: str, gpus: int, workers: list[str]) -> None:
    found = slots_of_gpus(visible, gpus, workers=4)
    assert [dict(variables) for variables in found] == [
        {"CUDA_VISIBLE_DEVICES": name} for name in workers
    ]


@pytest.mark.parametrize(
    ("visible", "gpus", "workers", "share"),
    [
        ("4,7", 0.5, 4, "0.4500"),
        ("4,7", 0.25, 6, "0.3000"),  # as many as there are, not as may be
        ("4,7", 0.25, 5, "0.3000"),
        ("4,7", 0.5, 2, None),
    ],
)
def test_workers_that_share_a_gpu_take_turns_and_leave_memory_for_each_other(
    visible: str, gpus: float, workers: int, share: str | None
) -> None:
    found = slots_of_gpus(visible, gpus, workers)
    assert [variables["CUDA_VISIBLE_DEVICES"] for variables in found] == ["4", "7"]
    cap = None if share is None else f"per_process_memory_fraction:{share}"
    assert {variables.get("PYTORCH_ALLOC_CONF") for variables in found} == {cap}


@pytest.mark.parametrize("name", ["PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"])
def test_settings_of_the_allocator_are_kept_beside_the_share(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "expandable_segments:True")
    (variables,) = slots_of_gpus("0", 0.5, 2)
    assert variables["PYTORCH_ALLOC_CONF"] == (
        "expandable_segments:True,per_process_memory_fraction:0.4500"
    )


def test_torch_knows_the_setting() -> None:
    """It refuses what it does not know; whether it keeps to it only a GPU can show."""
    (variables,) = slots_of_gpus("0", 0.5, 2)
    settings = variables["PYTORCH_ALLOC_CONF"]
    torch._C._accelerator_setAllocatorSettings(settings)
    try:
        assert torch._C._accelerator_getAllocatorSettings() == settings
        with pytest.raises(ValueError, match="Unrecognized key"):
            torch._C._accelerator_setAllocatorSettings(settings.replace("per", "pro"))
    finally:
        torch._C._accelerator_setAllocatorSettings("per_process_memory_fraction:1.0")


def test_workers_have_the_environment_of_their_slots() -> None:
    variables = slots_of_gpus("5,6", 1, workers=2)
    with ProcessEngine(perform, workers=2, threads=1, slot_variables=variables) as engine:
        both = [engine.submit(train("environment")) for _ in range(8)]
        found = {value(each)["CUDA_VISIBLE_DEVICES"] for each in both}
    assert found <= {"5", "6"}


@pytest.mark.parametrize(
    ("visible", "gb"),
    [
        ("", 8.0),
        ("0", 24.0),
        ("1,0", 24.0),
        ("1", 80.0),
        ("GPU-bb", 80.0),
        ("2", 0.0),  # in parts, which have other memory
        ("MIG-17", 0.0),
    ],
)
def test_the_smallest_visible_gpu_counts(visible: str, gb: float) -> None:
    assert smallest_gb(SMI, visible) == gb
    assert smallest_gb("No devices were found\n", visible) == 0.0


def test_a_node_asks_the_driver_of_its_gpus_where_they_matter(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    smi = tmp_path / "nvidia-smi"
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    asked = Question(uses_gpus=True)
    assert facts_of(asked).gpu_memory_gb == 0.0  # there is none
    smi.write_text(f"#!/bin/sh\nprintf '{SMI.encode('unicode_escape').decode()}'\n")
    smi.chmod(0o755)
    assert facts_of(asked).gpu_memory_gb == 24.0
    assert facts_of(Question()).gpu_memory_gb == 0.0
    smi.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed' && exit 9\n")
    assert facts_of(asked).gpu_memory_gb == 0.0


@pytest.mark.parametrize(
    ("memory_gb", "gpus", "each_gb", "said"),
    [
        (0.0, 0.5, 8.0, ""),
        (16.0, 0.5, None, ""),
        (16.0, 0.5, 7.2, ""),
        (16.0, 1, 16.0, ""),
        (16.0, 1, 20.0, "its GPUs have 16.0 GiB, a training takes 20"),
        (
            16.0,
            0.25,
            7.0,
            "its GPUs have 16.0 GiB, of which those that share one get 14.4, a training takes 7: "
            "2 trainings fit, not 4",
        ),
    ],
)
def test_a_gpu_holds_all_that_are_to_share_it_or_it_is_said(
    memory_gb: float, gpus: float, each_gb: float | None, said: str
) -> None:
    assert memory_fault(memory_gb, gpus, each_gb) == said
