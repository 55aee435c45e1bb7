from __future__ import annotations

import errno
import sqlite3

import pytest

from archfront.trainers.errors import BuildError, DataError
from archfront.trainers.machine import machine_failure


def raised(outer: Exception, inner: Exception) -> Exception:
    """Return an error that was raised from another one."""
    outer.__cause__ = inner
    return outer


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/data/x"), "The disk is full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "The disk is full"),
        # As torch.save, numpy.save and SQLite say it, which hide the number.
        (
            RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed"),
            "The d",
        ),
        (
            RuntimeError("[enforce fail at inline_container.cc:603] . unexpected pos 64 vs 0"),
            "The d",
        ),
        (OSError("8192 requested and 0 written"), "The disk is full"),
        (sqlite3.OperationalError("database or disk is full"), "The disk is full"),
        (OSError(errno.EROFS, "Read-only file system"), "The file system is read-only"),
        (OSError(errno.EMFILE, "Too many open files"), "Too many files are open"),
        (OSError(errno.EIO, "Input/output error"), "The disk cannot be read or written"),
        (MemoryError(), "The system has no memory, thread"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "The system has no memory, thread"),
        (RuntimeError("could not create a primitive"), "The system has no memory, thread"),
        (RuntimeError("can't start new thread"), "The system has no memory, thread"),
        (
            ImportError("libx.so: failed to map segment from shared object"),
            "The system has no memory, thread",
        ),
        (ImportError("libGL.so.1: cannot open shared object file"), "A library cannot be loaded"),
        (ModuleNotFoundError("No module named 'onnx'"), "A library cannot be loaded"),
        (
            raised(
                DataError("cat.png cannot be read"), OSError(errno.EMFILE, "Too many open files")
            ),
            "Too many files are open",
        ),
    ],
)
def test_what_the_machine_lacks_is_named_whoever_says_it(error: Exception, cause: str) -> None:
    found = machine_failure(error)
    assert found is not None
    assert found.cause.startswith(cause)
    assert found.remedy


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a shape (3, 4) that does not fit"),
        FileNotFoundError(errno.ENOENT, "No such file or directory", "cat.png"),
        PermissionError(errno.EACCES, "Permission denied", "cat.png"),
        BuildError("No stride 32 in this network."),
        RuntimeError("could not create a primitive descriptor for a convolution"),
        # Only some networks need the library.
        raised(BuildError("It cannot be built"), ModuleNotFoundError("No module named 'natten'")),
    ],
)
def test_what_the_candidate_lacks_is_no_failure_of_the_machine(error: Exception) -> None:
    assert machine_failure(error) is None


def test_a_lacking_library_that_was_coped_with_is_no_failure_of_the_machine() -> None:
    error = ValueError("another reason")
    error.__context__ = ImportError("no fast library")
    assert machine_failure(error) is None
