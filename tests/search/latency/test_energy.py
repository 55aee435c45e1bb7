"""Energy counters, read from a tree of files as Linux has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from archfront.search.errors import ConfigError
from archfront.search.latency.energy import MIN_RUNS, Rapl, energy_per_image

RANGE_UJ = 1_000_000


class Tree:
    """A powercap folder: packages 0 and 1, with cores and memory within the first, and psys."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name, zone in (
            ("package-0", "intel-rapl:0"),
            ("core", "intel-rapl:0:0"),
            ("dram", "intel-rapl:0:1"),
            ("package-1", "intel-rapl:1"),
            ("psys", "intel-rapl:2"),
            ("package-0", "intel-rapl-mmio:0"),
        ):
            folder = root / zone
            folder.mkdir(parents=True)
            (folder / "name").write_text(f"{name}\n")
            (folder / "max_energy_range_uj").write_text(f"{RANGE_UJ - 1}\n")
            self.set(zone, 100)
        (root / "intel-rapl").mkdir()

    def set(self, zone: str, microjoules: int) -> None:
        (self.root / zone / "energy_uj").write_text(f"{microjoules}\n")


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "powercap")


def test_packages_and_memory_are_added_and_nothing_twice(tree: Tree) -> None:
    meter = Rapl(tree.root)
    meter.start()
    tree.set("intel-rapl:0", 100 + 3000)
    tree.set("intel-rapl:0:0", 100 + 2000)  # within the package
    tree.set("intel-rapl:0:1", 100 + 500)
    tree.set("intel-rapl:1", 100 + 1000)
    tree.set("intel-rapl:2", 100 + 9000)  # the whole board
    tree.set("intel-rapl-mmio:0", 100 + 3000)  # the first package by another way
    assert meter.elapsed_mj() == pytest.approx(4.5)


def test_a_counter_that_began_again_at_zero_is_added_up(tree: Tree) -> None:
    tree.set("intel-rapl:0", RANGE_UJ - 400)
    meter = Rapl(tree.root)
    meter.start()
    tree.set("intel-rapl:0", 600)
    assert meter.elapsed_mj() == pytest.approx(1.0)


def test_a_machine_without_counters_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError,
        match=r"^The energy of this processor cannot be measured: there is no RAPL counter in "
        r"'.*nowhere', like in most virtual machines\. Leave energy_mj out of objectives and "
        r"limits, or measure on the bare machine\.$",
    ):
        Rapl(tmp_path / "nowhere")


def test_counters_that_may_not_be_read_name_the_command(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    # Root, as which tests may run, reads every file.
    monkeypatch.setattr("archfront.search.latency.energy._number", refuse)
    with pytest.raises(ConfigError, match=r"may not be read.*sudo chmod a\+r .*/energy_uj$"):
        Rapl(tree.root)


class Battery:
    """A meter and a clock that a step moves: 2 mJ and 10 ms a run."""

    def __init__(self, per_run_mj: float = 2.0) -> None:
        self.per_run_mj, self.n_runs, self.before = per_run_mj, 0, 0

    def step(self) -> None:
        self.n_runs += 1

    def clock(self) -> float:
        return self.n_runs * 0.010

    def start(self) -> None:
        self.before = self.n_runs

    def elapsed_mj(self) -> float:
        return (self.n_runs - self.before) * self.per_run_mj


def test_the_energy_is_that_of_one_image() -> None:
    battery = Battery()
    found = energy_per_image(battery.step, battery, images=4, seconds=1.0, clock=battery.clock)
    assert found == pytest.approx(0.5)
    assert battery.n_runs == pytest.approx(100, abs=1)


def test_a_long_step_is_run_a_few_times_at_least() -> None:
    battery = Battery()
    energy_per_image(battery.step, battery, images=1, seconds=0.001, clock=battery.clock)
    assert battery.n_runs == MIN_RUNS


def test_a_counter_that_stands_still_is_told() -> None:
    battery = Battery(per_run_mj=0.0)
    with pytest.raises(ConfigError, match=r"did not move in 1 s of work\. Leave energy_mj out"):
        energy_per_image(battery.step, battery, images=1, seconds=1.0, clock=battery.clock)
