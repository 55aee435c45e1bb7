from __future__ import annotations

import logging
import subprocess
from pathlib import Path

import numpy as np
import pytest

from archfront.trainers import sums
from archfront.trainers.errors import DamagedError
from archfront.trainers.sums import check_sum, loaded_arrays, write_sum


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    file = tmp_path / "kept predictions.npz"
    np.savez(file, labels=np.arange(100))
    write_sum(file)
    return file


def test_a_file_as_it_was_written_is_given(kept: Path) -> None:
    check_sum(kept)
    with loaded_arrays(kept) as arrays:
        assert arrays["labels"].tolist() == list(range(100))


@pytest.mark.parametrize("place", [0, 40, -30])
def test_one_changed_byte_is_found(kept: Path, place: int) -> None:
    content = bytearray(kept.read_bytes())
    content[place] ^= 1
    kept.write_bytes(content)
    with pytest.raises(DamagedError, match=r"kept predictions\.npz is damaged: its SHA-256 is"):
        check_sum(kept)
    with pytest.raises(DamagedError, match=r"Restore it from a copy, or train again\."):
        loaded_arrays(kept).__enter__()


@pytest.mark.parametrize("content", [b"", b"PK", b"no archive"])
def test_a_file_without_a_sum_that_cannot_be_read_is_named(kept: Path, content: bytes) -> None:
    (kept.parent / sums.SUMS).unlink()
    kept.write_bytes(content)
    with pytest.raises(DamagedError, match=r"kept predictions\.npz cannot be read: "):
        loaded_arrays(kept).__enter__()


def test_files_of_earlier_versions_are_used_and_told_of_once(
    kept: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (kept.parent / sums.SUMS).unlink()
    sums.tell_of_no_sums.cache_clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            check_sum(kept)
    assert caplog.messages == [
        "Files of an earlier archfront have no checksums and are used unchecked."
    ]


def test_other_files_keep_their_sums_and_sha256sum_reads_them(kept: Path) -> None:
    other = kept.with_name("weights")
    other.write_bytes(b"weights")
    write_sum(other)
    other.write_bytes(b"other weights")
    write_sum(other)
    check_sum(kept)
    check_sum(other)
    checked = subprocess.run(
        ["sha256sum", "-c", sums.SUMS],
        cwd=kept.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.stdout == "kept predictions.npz: OK\nweights: OK\n"


def test_what_cannot_be_read_is_told(kept: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert sums.is_readable(kept)
    kept.write_bytes(b"")
    assert not sums.is_readable(kept)
    assert "is damaged" in caplog.text
