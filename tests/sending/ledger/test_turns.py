"""Threads that write at the same time share a transaction; each has its own result and error."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from django.db import DataError, OperationalError

from sending.ledger.turns import Turns
from tests.processes import wait_until


class Writer:
    """Write what is given, when it is let; refuse "bad"."""

    def __init__(self) -> None:
        self.turns: Turns[str, str] = Turns(self.write)
        self.written: list[list[str]] = []
        self.may_write = threading.Event()
        self.refuses_with: Exception = DataError("cannot be stored")

    def write(self, items: Sequence[str]) -> list[str]:
        self.written.append(list(items))
        assert self.may_write.wait(60)
        if "bad" in items:
            raise self.refuses_with
        return [item.upper() for item in items]


def store_while_busy(writer: Writer, items: Sequence[str]) -> list[Future[str]]:
    """Store the items, each from a thread of its own, while "first" is being written."""
    with ThreadPoolExecutor(len(items) + 1) as threads:
        first = threads.submit(writer.turns.store, "first")
        wait_until(lambda: writer.written == [["first"]])
        others = [threads.submit(writer.turns.store, item) for item in items]
        wait_until(lambda: len(writer.turns._waiting) == len(items))
        writer.may_write.set()
    assert first.result() == "FIRST"
    return others


def test_what_comes_while_another_writes_is_written_together() -> None:
    writer = Writer()
    others = store_while_busy(writer, ["a", "b", "c"])
    assert sorted(future.result() for future in others) == ["A", "B", "C"]
    assert [len(items) for items in writer.written] == [1, 3]


def test_one_that_cannot_be_stored_does_not_harm_the_others() -> None:
    writer = Writer()
    a, bad, c = store_while_busy(writer, ["a", "bad", "c"])
    assert (a.result(), c.result()) == ("A", "C")
    with pytest.raises(DataError, match="cannot be stored"):
        bad.result()


def test_an_absent_database_is_told_to_each_and_not_asked_again() -> None:
    writer = Writer()
    writer.refuses_with = OperationalError("gone")
    others = store_while_busy(writer, ["a", "bad", "c"])
    errors = [future.exception() for future in others]
    assert [type(error) for error in errors] == [OperationalError] * 3
    assert len({id(error) for error in errors}) == 3
    assert len(writer.written) == 2


def test_after_an_error_the_next_can_write() -> None:
    writer = Writer()
    writer.may_write.set()
    with pytest.raises(DataError):
        writer.turns.store("bad")
    assert writer.turns.store("good") == "GOOD"


def test_a_crowd_gets_every_result_once() -> None:
    writer = Writer()
    writer.may_write.set()
    words = [f"w{number}" for number in range(400)]
    with ThreadPoolExecutor(32) as threads:
        results = list(threads.map(writer.turns.store, words))
    assert results == [word.upper() for word in words]
    assert sorted(item for items in writer.written for item in items) == sorted(words)
