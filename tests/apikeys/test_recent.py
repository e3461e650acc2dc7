"""What was read a moment ago is not read again, and is forgotten within a second."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.utils import timezone

from apikeys.authentication import identify
from apikeys.commands import revoke_key
from apikeys.errors import InvalidKey
from apikeys.recent import Recent
from tests.factories.apikeys import key_with_secret


def test_a_burst_loads_once_and_a_later_request_again(settings: Any) -> None:
    settings.RECENT_SECONDS = 60
    loaded: list[str] = []

    def load(name: str) -> str:
        loaded.append(name)
        return name.upper()

    recent = Recent(load)
    assert [recent.get("a") for _ in range(5)] == ["A"] * 5
    assert loaded == ["a"]
    recent._kept["a"].loaded_at -= 61
    assert recent.get("a") == "A"
    assert loaded == ["a", "a"]


def test_one_thread_renews_an_answer_while_the_others_still_use_it(settings: Any) -> None:
    settings.RECENT_SECONDS = 20
    is_renewing, may_end = threading.Event(), threading.Event()
    answers = iter(["old", "new"])

    def load(name: str) -> str:
        answer = next(answers)
        if answer == "new":
            is_renewing.set()
            assert may_end.wait(60)
        return answer

    recent = Recent(load)
    recent.get("a")
    recent._kept["a"].loaded_at -= 10
    with ThreadPoolExecutor(1) as other:
        renewed = other.submit(recent.get, "a")
        assert is_renewing.wait(60)
        assert [recent.get("a") for _ in range(5)] == ["old"] * 5
        may_end.set()
        assert renewed.result() == recent.get("a") == "new"


def test_what_is_not_there_is_never_remembered(settings: Any) -> None:
    settings.RECENT_SECONDS = 60
    answers: list[str | None] = [None, "there"]
    recent: Recent[str, str] = Recent(lambda name: answers.pop(0))
    assert recent.get("a") is None
    assert recent.get("a") == "there"


@pytest.mark.django_db
def test_a_revoked_key_is_refused_within_a_second(settings: Any) -> None:
    settings.RECENT_SECONDS = 0.5
    key, secret = key_with_secret()
    assert identify(secret, now=timezone.now()) == key
    revoke_key(key=key, now=timezone.now())
    time.sleep(0.6)
    with pytest.raises(InvalidKey):
        identify(secret, now=timezone.now())
