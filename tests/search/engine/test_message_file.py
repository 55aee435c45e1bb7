"""Messages by a file of a network file system, where what is written may arrive in parts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from archfront.search.engine.message_file import Mailbox


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "messages"


def test_messages_come_once_and_in_order(file: Path) -> None:
    sender, receiver = Mailbox(file), Mailbox(file)
    sender.send(b"a")
    sender.send(b"b" * 100_000)
    assert receiver.receive() == [b"a", b"b" * 100_000]
    assert receiver.receive() == []
    sender.send(b"c")
    assert receiver.receive() == [b"c"]


def test_at_every_length_only_what_is_there_as_a_whole_is_received(
    file: Path, tmp_path: Path
) -> None:
    sender = Mailbox(file)
    for message in (b"first", b"second"):
        sender.send(message)
    whole, part = file.read_bytes(), tmp_path / "part"
    counts = []
    receiver = Mailbox(part)
    for length in range(len(whole) + 1):
        part.write_bytes(whole[:length])
        counts += [(length, message) for message in receiver.receive()]
    first = len(whole) - 12 - len(b"second")
    assert counts == [(first, b"first"), (len(whole), b"second")]


def test_bytes_that_have_not_arrived_are_waited_for(file: Path) -> None:
    """A file server may show zeros where a later part has come first."""
    Mailbox(file).send(b"message")
    whole = file.read_bytes()
    receiver = Mailbox(file)
    for hole in (whole[:-3] + bytes(3), bytes(len(whole)), whole[:9] + bytes(len(whole) - 9)):
        file.write_bytes(hole)
        assert receiver.receive() == []
    file.write_bytes(whole)
    assert receiver.receive() == [b"message"]


def test_a_message_that_was_not_written_whole_is_gone_with_the_next_one(file: Path) -> None:
    sender, receiver = Mailbox(file), Mailbox(file)
    sender.send(b"first")
    with file.open("ab") as end:  # of a sender whose disk was full
        end.write(os.urandom(50))
    assert receiver.receive() == [b"first"]
    sender.send(b"x")
    assert receiver.receive() == [b"x"]
    assert file.stat().st_size == 2 * 12 + len(b"firstx")


def test_a_file_that_is_not_there_is_an_error_and_an_empty_message_a_mistake(file: Path) -> None:
    with pytest.raises(FileNotFoundError, match="messages"):
        Mailbox(file).receive()
    with pytest.raises(ValueError, match=r"^A message has at least one byte\.$"):
        Mailbox(file).send(b"")
