"""Ctrl-C waits for the end of a record, and SIGTERM is a Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from archfront.search.engine.interrupts import deferred, terminate_like_interrupt


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Put the handlers back that were there."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_ctrl_c_comes_through_when_the_block_is_done() -> None:
    steps = []

    def record() -> None:
        with deferred():
            signal.raise_signal(signal.SIGINT)
            steps.append("still there")
            signal.raise_signal(signal.SIGINT)
            steps.append("and to the end")

    with pytest.raises(KeyboardInterrupt):
        record()
    assert steps == ["still there", "and to the end"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_quiet_block_changes_nothing() -> None:
    with deferred():
        pass
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_error_in_the_block_comes_through_and_the_handler_is_back() -> None:
    with pytest.raises(ValueError, match="of the block"), deferred():
        raise ValueError("of the block")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_block_inside_of_a_block_waits_for_the_outer_one() -> None:
    steps = []

    def record() -> None:
        with deferred():
            with deferred():
                signal.raise_signal(signal.SIGINT)
                steps.append("inner")
            steps.append("outer")

    with pytest.raises(KeyboardInterrupt):
        record()
    assert steps == ["inner", "outer"]


def test_in_another_thread_the_block_just_runs() -> None:
    steps: list[str] = []

    def record() -> None:
        with deferred():
            steps.append("recorded")

    thread = threading.Thread(target=record)
    thread.start()
    thread.join()
    assert steps == ["recorded"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_polite_end_is_a_ctrl_c() -> None:
    terminate_like_interrupt()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)


def test_a_polite_end_waits_for_the_block_too() -> None:
    terminate_like_interrupt()
    steps = []

    def record() -> None:
        with deferred():
            signal.raise_signal(signal.SIGTERM)
            steps.append("recorded")

    with pytest.raises(KeyboardInterrupt):
        record()
    assert steps == ["recorded"]
