"""Where commands print: a table as wide as its reader, and notes beside the result.

Names of files and classes are somebody else's: what a terminal would obey in them is written out
in lines, and left out of tables.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from archfront.trainers.safe_text import visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, ProgressColumn

    from archfront.search.report.fitted_table import FittedTable

# Columns of a bar beside a text: what stands beside it is left most of 80.
BAR = 16


def wide_console(width: int) -> Console:
    """Return the console of standard output, of a fixed width where it is not a terminal.

    Args:
        width: Columns of a table in a file or a pipe.
    """
    console = new_console()
    return console if console.is_terminal else new_console(width=width)


def new_console(**options: Any) -> Console:
    """Return a console of rich that gives a terminal no commands of somebody else's.

    Args:
        **options: Those of ``rich.console.Console``.
    """
    from archfront.search.commands.safe_console import SafeConsole

    return SafeConsole(**options)


def echo(text: object, *, end: str = "\n", to_stderr: bool = False) -> None:
    """Print a text that no console lays out, at once."""
    print(visible(str(text)), end=end, flush=True, file=sys.stderr if to_stderr else sys.stdout)


def print_table(console: Console, table: FittedTable) -> None:
    """Print a table; in a file or a pipe with all of its columns, however wide."""
    if not console.is_terminal:
        console.width = max(console.width, table.full_width)
    console.print(table)


def print_lines(console: Console, lines: Iterable[str]) -> None:
    """Print lines as they are, without markup and without breaking long ones."""
    from rich.text import Text

    for line in lines:
        console.print(Text(visible(line)), soft_wrap=True)


@contextmanager
def stderr_progress() -> Iterator[Callable[[str, int, int], None]]:
    """Give what takes a work's name, what is done of it and its whole, for a bar that goes again.

    The bar is on standard error, and only where that is a terminal.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = new_console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns,
        console=console,
        transient=True,
        disable=not console.is_terminal,
        redirect_stdout=sys.stdout.isatty(),  # a file or a pipe gets the result alone
    ) as bar:
        task = bar.add_task("reading images", total=None)

        def update(name: str, done: int, total: int) -> None:
            bar.update(task, description=name, completed=done, total=total)

        yield update


def described_bar(console: Console, *columns: ProgressColumn, is_live: bool) -> Progress:
    """Return a bar that goes again, with a text in what the bar and its columns leave of the line.

    A text that is longer is cut at its end: it has first what changes.

    Args:
        console: Where it is shown.
        *columns: What stands between the bar and the text.
        is_live: Whether it is shown at all.
    """
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.table import Column

    text = TextColumn(
        "{task.description}", markup=False, table_column=Column(no_wrap=True, ratio=1)
    )
    return Progress(
        *(BarColumn(BAR), *columns, text),
        console=console,
        transient=True,
        expand=True,
        disable=not is_live,
    )


def print_note(line: str) -> None:
    """Print a note on standard error, beside the result."""
    print_lines(new_console(stderr=True), [line])
