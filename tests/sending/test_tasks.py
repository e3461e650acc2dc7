"""The workers are told that mail is due, and nobody waits until they are."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from sending import tasks
from tests.processes import wait_until

PATIENCE = 30


def test_ringing_waits_for_no_broker_and_many_rings_are_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    is_back, began = threading.Event(), threading.Event()
    published: list[bool] = []

    def publish(**options: Any) -> None:
        began.set()
        published.append(is_back.wait(PATIENCE))

    monkeypatch.setattr(tasks.deliver, "apply_async", publish)
    bell = tasks.Bell()
    bell.ring()
    assert began.wait(PATIENCE)
    for _ in range(20):
        bell.ring()
    assert published == []
    is_back.set()
    wait_until(lambda: len(published) == 2)
    assert published == [True, True]
