"""The loop goes on whatever one of its callers does."""

from __future__ import annotations

import os
import socket
import time

import pytest

from sending.delivery.loop import Loop


def fail() -> None:
    raise ZeroDivisionError("a defect")


def test_a_defect_in_one_posted_call_loses_no_other() -> None:
    loop = Loop()
    made: list[int] = []
    loop.post(fail)
    loop.post(lambda: made.append(1))
    loop.turn(1)
    assert made == [1]
    loop.close()


def test_a_defect_at_one_socket_keeps_no_other_from_moving() -> None:
    loop = Loop()
    moved: list[int] = []
    pairs = [socket.socketpair() for _ in range(2)]
    loop.watch(pairs[0][0], lambda *_: fail(), is_writing=True)
    loop.watch(pairs[1][0], lambda *_: moved.append(1), is_writing=True)
    loop.turn(1)
    assert moved == [1]
    for pair in pairs:
        loop.forget(pair[0])
        for end in pair:
            end.close()
    loop.close()


def test_a_call_that_comes_too_late_does_no_harm() -> None:
    loop = Loop()
    loop.close()
    loop.post(pytest.fail)


def test_a_socket_that_a_forked_child_still_holds_does_not_keep_the_loop_awake() -> None:
    loop = Loop()
    ours, theirs = socket.socketpair()
    loop.watch(ours, lambda *_: None, is_writing=False)
    of_the_child = os.dup(ours.fileno())
    theirs.close()
    ours.close()
    loop.forget(ours)
    began = time.monotonic()
    assert not loop.turn(0.2)
    assert time.monotonic() - began >= 0.2
    os.close(of_the_child)
    loop.close()
