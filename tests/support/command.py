"""The command ``archfront``, called in this process as a shell calls it."""

from __future__ import annotations

import pytest

from archfront.search.cli import main

Output = pytest.CaptureFixture[str]


def succeeds(capsys: Output, *words: str) -> str:
    """Return what a command prints, and nothing else."""
    assert main(list(words)) == 0
    shown = capsys.readouterr()
    assert shown.err == "", shown.err
    return shown.out


def fails(capsys: Output, status: int, *words: str) -> str:
    """Return what a command complains of, on standard error only."""
    assert main(list(words)) == status
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("archfront: ")
    return shown.err.removeprefix("archfront: ").rstrip("\n")


def wrong_use(capsys: Output, *words: str) -> str:
    """Return what the parser of a verb says to words that it does not take."""
    with pytest.raises(SystemExit, match="2"):
        main(list(words))
    return capsys.readouterr().err
