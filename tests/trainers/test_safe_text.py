"""Names that would make a terminal or a page show something else."""

from __future__ import annotations

import json
import re
from io import StringIO
from pathlib import Path

import pytest
from rich.table import Table
from rich.text import Text

from archfront.search.commands.consoles import echo, new_console, print_lines
from archfront.trainers.data import load
from archfront.trainers.data.readers.paths import name_of
from archfront.trainers.errors import DataError
from archfront.trainers.safe_text import UNSAFE, visible, visible_line, visible_value
from tests.support.command import Output
from tests.support.drawn_images import draw_folder

NASTY = "a\x1b[2Jb\rc\u202ed\u2066e\x9bf\x07g\ud800h\u2028i"
SHOWN = r"a\x1b[2Jb\rc\u202ed\u2066e\x9bf\x07g\ud800h\u2028i"


def test_what_a_terminal_obeys_is_written_out() -> None:
    assert visible(NASTY) == SHOWN
    assert visible("a\tb\nc") == "a\tb\nc"
    assert visible_line("a\tb\nc") == r"a\tb\nc"


@pytest.mark.parametrize("text", ["Straße", "猫", "كلب", "👩‍🚀", "é", "a b", ""])
def test_letters_of_any_script_stay(text: str) -> None:
    assert visible_line(text) == text


def test_only_text_is_changed() -> None:
    assert visible_value(5) == 5
    assert visible_value("\x1b") == r"\x1b"


def test_a_console_shows_it_wherever_it_stands() -> None:
    console = new_console(file=StringIO(), width=80, force_terminal=True)
    one_line = NASTY.replace("\u2028", "")
    table = Table(one_line)
    table.add_row(Text(one_line, style="bold red"))
    console.print(table)
    print_lines(console, [NASTY])
    written = console.file.getvalue()  # type: ignore[attr-defined]
    assert written.count(r"\u202e") == 1  # in the line
    assert written.count("bcdefghi") == 2  # in the table
    assert "\x1b[2J" not in written
    assert "\x1b[1;31m" in written  # rich's own style is no name of anybody
    assert not UNSAFE.search(written.replace("\x1b", ""))
    unstyled = re.sub(r"\x1b\[[\d;]*m", "", written).split("\n")
    assert len({len(line) for line in unstyled[:5]}) == 1


def test_what_is_printed_without_a_console_is_shown_too(capsys: Output) -> None:
    echo(NASTY)
    echo(NASTY, to_stderr=True)
    said = capsys.readouterr()
    assert said.out == said.err == f"{SHOWN}\n"


def test_json_stays_json(capsys: Output) -> None:
    echo(json.dumps({"name": NASTY}, indent=2))
    assert json.loads(capsys.readouterr().out) == {"name": NASTY}


def test_the_name_of_a_file_is_one_line(tmp_path: Path) -> None:
    name = "b\nTotal: 0\x1b[2J.png"
    assert name_of(tmp_path / "a" / name, tmp_path) == r"a/b\nTotal: 0\x1b[2J.png"


def test_a_problem_of_a_file_is_told_in_one_line(tmp_path: Path) -> None:
    ref = draw_folder(tmp_path, {"a": 4, "b": 4})
    (tmp_path / "a" / "x\n  - y\x1b[31m.png").write_bytes(b"no image")
    with pytest.raises(DataError) as caught:
        load(ref)
    assert r"  - a/x\n  - y\x1b[31m.png: it is not an image" in str(caught.value)
    assert "\x1b" not in str(caught.value)
