"""The cores that a process runs on, and what is read of a machine's GPUs."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from archfront.search.errors import ConfigError
from archfront.search.latency.device import affinity_problem, allowed_cores, fingerprint, pinned

needs_pinning = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="the system lets no process choose its cores"
)


@needs_pinning
class TestPinning:
    def test_the_cores_are_those_inside_and_the_old_ones_after(self) -> None:
        before = os.sched_getaffinity(0)
        core = min(before)
        with pinned((core,)) as cores:
            assert cores == (core,)
            assert os.sched_getaffinity(0) == {core}
        assert os.sched_getaffinity(0) == before

    def test_they_are_put_back_after_an_error(self) -> None:
        before = os.sched_getaffinity(0)
        with pytest.raises(RuntimeError, match="it broke"), pinned((min(before),)):
            raise RuntimeError("it broke")
        assert os.sched_getaffinity(0) == before

    def test_threads_from_before_and_from_within_are_pinned_and_put_back(self) -> None:
        before = os.sched_getaffinity(0)
        core = min(before)
        asked, ended = threading.Event(), threading.Event()
        seen: dict[str, list[set[int]]] = {"old": [], "new": []}

        def look(name: str) -> None:
            asked.wait(120)
            seen[name].append(os.sched_getaffinity(0))
            barrier.wait(120)
            ended.wait(120)
            seen[name].append(os.sched_getaffinity(0))

        barrier = threading.Barrier(3)
        threads = [threading.Thread(target=look, args=(name,)) for name in seen]
        threads[0].start()
        with pinned((core,)):
            threads[1].start()
            asked.set()
            barrier.wait(120)
        ended.set()
        for thread in threads:
            thread.join(120)
        assert seen == {"old": [{core}, before], "new": [{core}, before]}

    def test_none_leaves_the_cores_and_tells_them(self) -> None:
        with pinned(None) as cores:
            assert cores == allowed_cores()

    def test_a_core_that_does_not_exist_is_told_with_those_that_do(self) -> None:
        there = ", ".join(str(core) for core in sorted(os.sched_getaffinity(0)))
        with (
            pytest.raises(
                ConfigError,
                match=rf"^hardware\.affinity: this process may run on the cores {there}; "
                r"got \[0, 4096\]\.$",
            ),
            pinned((0, 4096)),
        ):
            raise AssertionError("it is refused before")


def test_a_system_that_pins_nothing_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert allowed_cores() is None
    problem = affinity_problem((0,))
    assert problem is not None
    assert problem.endswith("does not let a process choose its cores; got [0].")


def test_the_gpus_are_part_of_the_fingerprint(tmp_path: Path) -> None:
    none = fingerprint(tmp_path)
    for slot in ("0000:01:00.0", "0000:02:00.0"):
        folder = tmp_path / "proc/driver/nvidia/gpus" / slot
        folder.mkdir(parents=True)
        (folder / "information").write_text("Model: \t\t Some GPU\nIRQ:   \t\t 57\n")
    two = fingerprint(tmp_path)
    assert none.gpus is None
    assert two.gpus == "Some GPU, Some GPU"
    assert str(two) == str(none).replace(" GiB,", " GiB, Some GPU, Some GPU,")
    assert two.id != none.id
    assert replace(two, gpus=None).id == none.id
