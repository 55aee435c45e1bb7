"""Where commands print: a table as wide as its reader, and notes beside the result."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from archfront.search.report.fitted_table import FittedTable


def wide_console(width: int) -> Console:
    """Return the console of standard output, of a fixed width where it is not a terminal.

    Args:
        width: Columns of a table in a file or a pipe.
    """
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=width)


def print_table(console: Console, table: FittedTable) -> None:
    """Print a table; in a file or a pipe with all of its columns, however wide."""
    if not console.is_terminal:
        console.width = max(console.width, table.full_width)
    console.print(table)


def print_lines(console: Console, lines: Iterable[str]) -> None:
    """Print lines as they are, without markup and without breaking long ones."""
    from rich.text import Text

    for line in lines:
        console.print(Text(line), soft_wrap=True)


def print_note(line: str) -> None:
    """Print a note on standard error, beside the result."""
    from rich.console import Console

    print_lines(Console(stderr=True), [line])
