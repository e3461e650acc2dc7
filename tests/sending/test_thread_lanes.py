"""Threads that carry mail for Django's backends ask the run, and are always answered."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from sending.delivery.lanes import ThreadLanes
from sending.delivery.loop import Loop
from sending.delivery.parcels import Desk, Parcel, Stopwatch
from sending.errors import Reply
from sending.models import Priority, Route
from sending.transports import Receipt


class Asks:
    """A transport that does nothing but ask for the hand-off."""

    def send(self, outgoing: Any, *, before_body: Callable[[], bool]) -> Receipt:
        assert before_body()
        return Receipt(reply=Reply(code=250))

    def close(self) -> None:
        pass


def test_a_question_on_its_way_while_others_are_answered_is_not_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sending.delivery.lanes.open_transport", lambda _: Asks())
    loop, desk, asked = Loop(), Desk(), threading.Event()
    post = loop.post

    def post_and_tell(call: Callable[[], None]) -> None:
        post(call)
        asked.set()

    monkeypatch.setattr(loop, "post", post_and_tell)
    lanes = ThreadLanes(Route(name="provider", connections=1), loop=loop, desk=desk)
    lanes.put(
        Parcel(
            outgoing=None,
            key_id=uuid4(),
            priority=Priority.SINGLE,
            attempt_number=1,
            policy="retry",
            lanes=lanes,
            stopwatch=Stopwatch(timezone.now()),
        )
    )
    assert asked.wait(60)
    desk.requests = []  # what the run does when it has answered the others
    loop.turn(5)
    (question,) = desk.requests
    question.answer(is_granted=True)
    while not desk.results:
        loop.turn(5)
    lanes.close()
    loop.close()
