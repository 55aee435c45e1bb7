"""What is read of a machine, and the id that follows from it."""

from __future__ import annotations

from pathlib import Path

from archfront.search.latency.device import Device, fingerprint

CPUINFO = """processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: 25
model\t\t: 17
model name\t: AMD EPYC
stepping\t: 1

processor\t: 1
model name\t: another one
"""


def drawn_machine(root: Path, cpuinfo: str, governor: str | None, quota: str | None) -> Device:
    files = {
        "proc/cpuinfo": cpuinfo,
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": governor,
        "sys/fs/cgroup/cpu.max": quota,
    }
    for name, text in files.items():
        if text is not None:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
    return fingerprint(root)


def test_a_fingerprint_reads_processor_governor_and_quota(tmp_path: Path) -> None:
    device = drawn_machine(tmp_path, CPUINFO, "powersave\n", "150000 100000\n")
    assert device.cpu == "AMD EPYC (25-17-1)"
    assert device.governor == "powersave"
    assert device.cpu_quota == 1.5
    assert str(device).startswith("AMD EPYC (25-17-1), ")
    assert "(quota 1.5)" in str(device)
    assert "governor powersave" in str(device)


def test_a_fingerprint_leaves_out_what_cannot_be_read(tmp_path: Path) -> None:
    device = drawn_machine(tmp_path, "Hardware : a board\n", None, "max 100000")
    assert device.cpu
    assert device.governor is None
    assert device.cpu_quota is None
    assert device.cores >= 1
    assert device.memory_gb >= 1


def test_the_device_id_is_the_same_for_the_same_machine_and_another_for_another(
    tmp_path: Path,
) -> None:
    first = drawn_machine(tmp_path / "a", CPUINFO, "performance", None)
    again = drawn_machine(tmp_path / "b", CPUINFO, "performance", None)
    slower = drawn_machine(tmp_path / "c", CPUINFO, "powersave", None)
    assert first.id == again.id != slower.id
    assert len(first.id) == 12
