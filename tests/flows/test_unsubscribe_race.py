"""An unsubscribe is final, whatever eight workers hold at that moment."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from typing import Any

import pytest
from django.conf import settings
from django.db import connection, connections, transaction
from django.test import Client
from django.utils import timezone

from apikeys.models import ApiKey
from sending.commands import accept_batch, accept_message
from sending.delivery import deliver_due
from sending.errors import SuppressedRecipient
from sending.models import Event, Message, Route, Status, Suppression
from tests.factories.sending import MessageFactory, SendingProfileFactory
from tests.sink import Sink
from unsubscribe import commands, tokens

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.integration,
    pytest.mark.skipif(
        "postgresql" not in settings.DATABASES["default"]["ENGINE"],
        reason="SQLite has one writer at a time",
    ),
]

WORKERS = 8
HELD_BY_EACH = 30
RECIPIENTS = 320
LEAVERS = 50


def in_thread(act: Callable[..., Any]) -> Callable[..., Any]:
    """Give a thread a database connection of its own, and close it."""

    def run(*args: Any) -> Any:
        try:
            return act(*args)
        finally:
            connections.close_all()

    return run


def say_no(token: str) -> datetime:
    """Unsubscribe; return the database's time when the recipient knows that it is done."""
    assert Client().post(f"/u/{token}", {"List-Unsubscribe": "One-Click"}).status_code == 200
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        at: datetime = cursor.fetchone()[0]
    return at


def test_no_copy_leaves_after_an_unsubscribe_while_eight_workers_send_a_batch(
    route: Route, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sending.delivery.run.CLAIM_SIZE", HELD_BY_EACH)
    Route.objects.update(connections=2, connect_timeout_seconds=30, command_timeout_seconds=30)
    sink.delay_seconds = 0.02
    key: ApiKey = SendingProfileFactory.create(route=None, has_unsubscribe_link=True).api_key
    # However the address is written, it is the same person's.
    recipients = [
        f"{'R' if number % 2 else 'r'}{number}@recipient.example" for number in range(RECIPIENTS)
    ]
    accept_batch(key=key, recipients=recipients)
    chosen = random.Random(7).sample(list(Message.objects.all()), LEAVERS)
    is_over = threading.Event()

    def go_on_accepting() -> None:
        picking = random.Random(8)
        while not is_over.wait(0.02):
            with suppress(SuppressedRecipient):
                accept_message(key=key, recipient=picking.choice(chosen).recipient)

    with ThreadPoolExecutor(WORKERS + 3) as threads:
        workers = [threads.submit(in_thread(deliver_due)) for _ in range(WORKERS)]
        accepting = threads.submit(in_thread(go_on_accepting))
        with ThreadPoolExecutor(2) as leavers:
            known = list(leavers.map(in_thread(say_no), [tokens.make(one.id) for one in chosen]))
        is_over.set()
        for future in (accepting, *workers):
            future.result()
    deliver_due()

    for message, at in zip(chosen, known, strict=True):
        for copy in Message.objects.filter(recipient__iexact=message.recipient):
            left = copy.handed_off_at is not None and copy.status == Status.SENT
            assert copy.status == (Status.SENT if left else Status.SUPPRESSED)
            assert not left or copy.handed_off_at < at, f"{copy.recipient} left after the no"
    sent = Message.objects.filter(status=Status.SENT)
    assert sorted(sink.recipients) == sorted(sent.values_list("recipient", flat=True))
    stopped_in_a_lane = Event.objects.filter(status_before="sending", status_after="suppressed")
    assert stopped_in_a_lane.exists()


def test_a_no_said_while_another_is_taken_back_stands() -> None:
    first, second = (
        MessageFactory.create(recipient="ann@recipient.example", status=Status.SENT) for _ in "ab"
    )
    say_no(tokens.make(first.id))
    has_lifted, may_commit = threading.Event(), threading.Event()

    def take_back_slowly() -> None:
        with transaction.atomic():
            assert commands.resubscribe(first, now=timezone.now())
            has_lifted.set()
            may_commit.wait(60)

    with ThreadPoolExecutor(2) as threads:
        slow = threads.submit(in_thread(take_back_slowly))
        assert has_lifted.wait(60)
        again = threads.submit(in_thread(say_no), tokens.make(second.id))
        while not is_waited_for() and not again.done():
            pass
        may_commit.set()
        slow.result()
        again.result()
    assert Suppression.objects.get().source_message == second


def is_waited_for() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return bool(cursor.fetchone()[0])
