"""A table for any width of a terminal: its least columns go first, long names are shortened."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Literal

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions
from rich.table import Table
from rich.text import Text

from archfront.trainers.words import shortened

# Characters of a name that is not shortened while a column can go instead, and of the shortest.
NAME, SHORTEST = 22, 8
# Characters of a remark, which is broken between words.
WORDS = 12

Kind = Literal["number", "key", "name", "words"]


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: Its heading.
        rank: 0 for a column that is always there; of the others the highest goes first.
        kind: A ``number`` and a ``key``, which is written to the left, are never cut, and a key is
            broken only where it is wider than the terminal; a ``name`` is shortened in its
            middle, and ``words`` are broken between words.
    """

    name: str
    rank: int = 0
    kind: Kind = "number"


class FittedTable:
    """A table that chooses its columns when it is printed, by the width that there is.

    Args:
        title: What stands above it.
        columns: All of its columns.
        names_hidden: Whether a line below it names the columns for which there was no room.
        caption: What stands below it.
    """

    def __init__(
        self,
        title: str,
        columns: Sequence[Column],
        *,
        names_hidden: bool = True,
        caption: str = "",
    ) -> None:
        self._title, self._columns = title, list(columns)
        self._names_hidden, self._caption = names_hidden, caption
        self._rows: list[tuple[Sequence[str], str]] = []

    def add_row(self, *cells: str, style: str = "") -> None:
        """Add a row with a cell for each column."""
        self._rows.append((cells, style))

    @property
    def full_width(self) -> int:
        """Return the characters of a line in which nothing is hidden or shortened."""
        return _outer([self._natural(index) for index in range(len(self._columns))])

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[Table | Text]:
        """Return the table with the columns that fit."""
        widths = self._widths(options.max_width)
        table = Table(title=Text(self._title, style="bold"), title_justify="left")
        for index, width in widths.items():
            column = self._columns[index]
            table.add_column(
                Text("\n".join(wrap(column.name, max(1, width)))),
                justify="right" if column.kind == "number" else "left",
                no_wrap=column.kind in ("number", "name"),
                overflow="fold",  # of a key that is wider than the terminal
                width=width,
            )
        for cells, style in self._rows:
            table.add_row(*(Text(self._cell(i, cells, widths[i])) for i in widths), style=style)
        yield table
        if self._caption:
            yield Text(self._caption)
        hidden = [c.name for i, c in enumerate(self._columns) if i not in widths and c.name]
        if hidden and self._names_hidden:
            yield Text(f"Not shown at this width: {', '.join(hidden)}.", style="dim")

    def _widths(self, width: int) -> dict[int, int]:
        """Return the columns that are shown within a width, in order, with their own widths."""
        ranks = [column.rank for column in self._columns]
        chosen: dict[int, int] = {}
        for index in sorted(range(len(ranks)), key=lambda i: (ranks[i], i)):
            more = {**chosen, index: self._least(index)}
            if ranks[index] > 0 and _outer(more.values()) > width:
                break
            chosen = more
        for index in sorted(
            chosen, key=lambda i: ("name", "words", "key", "number").index(self._kind(i))
        ):
            room = width - _outer(chosen.values())
            if room >= 0:
                chosen[index] += min(room, self._natural(index) - chosen[index])
            elif self._kind(index) == "name":
                chosen[index] -= min(-room, max(0, chosen[index] - SHORTEST))
        return dict(sorted(chosen.items()))

    def _kind(self, index: int) -> str:
        return self._columns[index].kind

    def _cell(self, index: int, cells: Sequence[str], width: int) -> str:
        return shortened(cells[index], width) if self._kind(index) == "name" else cells[index]

    def _natural(self, index: int) -> int:
        """Return the width of the widest cell of a column, its heading included."""
        texts = [self._columns[index].name, *(cells[index] for cells, _ in self._rows)]
        return max(cell_len(line) for text in texts for line in text.split("\n"))

    def _least(self, index: int) -> int:
        """Return the width that a column has at least, while others can go instead."""
        column, natural = self._columns[index], self._natural(index)
        if column.kind == "name":
            return min(natural, NAME)
        words = [word for cells, _ in self._rows for word in cells[index].split()]
        if column.kind == "words":
            return min(natural, max([WORDS, *map(cell_len, words)]))
        heading = max(map(cell_len, column.name.split()), default=0)
        return max([heading, *(cell_len(cells[index]) for cells, _ in self._rows)])


def _outer(widths: Iterable[int]) -> int:
    """Return the width of a table with columns of these widths: each has a border and spaces."""
    found = list(widths)
    return sum(found) + 3 * len(found) + 1
