"""Reading a log of events while it grows, from any place on."""

from __future__ import annotations

from pathlib import Path

import pytest

from archfront.search.records.events import EventLog, Noticed
from archfront.search.service import log_reader
from archfront.search.service.log_reader import LogLine, LogReader, Mark


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


def messages(lines: list[LogLine]) -> list[str]:
    return [line.content["message"] for line in lines]


def test_every_event_is_read_once_from_any_place_on(path: Path) -> None:
    reader, write = LogReader(path), EventLog(path)
    start = reader.begin()
    assert (str(start), reader.read(start), reader.size()) == ("0-new", ([], start), 0)
    for n in range(5):
        write(Noticed(f"{n}"))
    lines, end = reader.read(start)
    assert messages(lines) == list("01234")
    assert end.offset == reader.size()
    for place, line in enumerate(lines):
        mark = Mark.parse(str(line.end))
        assert mark == line.end
        assert reader.holds(line.end)
        assert messages(reader.read(line.end)[0]) == list("01234")[place + 1 :]
    write(Noticed("5"))
    assert messages(reader.read(end)[0]) == ["5"]


def test_many_events_come_in_parts(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_reader, "N_LINES", 2)
    write, reader = EventLog(path), LogReader(path)
    for n in range(5):
        write(Noticed(f"{n}"))
    mark, found = reader.begin(), []
    for _ in range(4):
        lines, mark = reader.read(mark)
        found.append(messages(lines))
    assert found == [["0", "1"], ["2", "3"], ["4"], []]


def test_a_line_is_read_when_it_is_whole(path: Path) -> None:
    reader = LogReader(path)
    EventLog(path)(Noticed("first"))
    _, end = reader.read(reader.begin())
    with path.open("ab") as file:
        file.write(b'{"time": 1, "event": "Noticed", "mess')
    assert reader.read(end) == ([], end)
    with path.open("ab") as file:
        file.write(b'age": "second"}\n')
    assert messages(reader.read(end)[0]) == ["second"]


def test_what_is_no_event_is_passed_over(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_reader, "LINE_BYTES", 200)
    bad = [b"{", b"[]", b'{"event": 3}', b"\xff", b"[" * 150, b"x" * 900, b""]
    EventLog(path)(Noticed("first"))
    with path.open("ab") as file:
        file.write(b"\n".join(bad) + b"\n")
    EventLog(path)(Noticed("last"))
    reader = LogReader(path)
    lines, end = reader.read(reader.begin())
    assert messages(lines) == ["first", "last"]
    assert end.offset == reader.size()


def test_a_place_of_another_log_is_none_of_this_one(path: Path) -> None:
    reader = LogReader(path)
    EventLog(path, clock=lambda: 1.0)(Noticed("a"))
    _, end = reader.read(reader.begin())
    path.unlink()
    assert not reader.holds(end)
    EventLog(path, clock=lambda: 2.0)(Noticed("a"))
    assert not reader.holds(end)
    assert not reader.holds(Mark(end.offset - 1, reader.begin().log))
    assert not reader.holds(Mark(10**12, reader.begin().log))
    assert reader.holds(Mark(0, "new"))


@pytest.mark.parametrize(
    "text", [None, "", "1", "1-", "-1-new", "1-xyz", "1" * 16 + "-new", "1-new\n", "\u0661-new"]
)
def test_other_texts_are_no_places(text: str | None) -> None:
    assert Mark.parse(text) is None
