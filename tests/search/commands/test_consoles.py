"""What commands print in a terminal of 80 columns."""

from __future__ import annotations

import io

from rich.progress import TimeElapsedColumn

from archfront.search.commands.consoles import described_bar, new_console


def test_a_bar_keeps_its_time_beside_a_long_text() -> None:
    """Of 80 columns a long name took all: the time and the metric behind it were never seen."""
    shown = io.StringIO()
    console = new_console(file=shown, width=80, force_terminal=True, color_system=None)
    text = "trial 0 seed 0, epoch 1 of 2, balanced_accuracy 0.9778, " + "a_long_name" * 9
    bar = described_bar(console, TimeElapsedColumn(), is_live=True)
    bar.add_task(text, total=2, completed=1)
    console.print(bar.get_renderable())
    [line] = shown.getvalue().splitlines()
    assert line.startswith("\u2501" * 8)
    assert line.split()[1] == "0:00:00"
    assert "epoch 1 of 2, balanced_accuracy 0.9778" in line
    assert len(line) == 80
