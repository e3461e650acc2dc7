"""The outgoing value: what it knows about its own envelope."""

from dataclasses import FrozenInstanceError, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from sending.outgoing import Mailbox, Outgoing

OUTGOING = Outgoing(
    id=UUID(int=1),
    claim=1,
    envelope_sender="b@bounces.example.com",
    recipient="ann@example.com",
    sender=Mailbox("news@example.com", "Jürgen"),
    subject="Grüße",
    text="Grüße",
    html="",
    message_id="<1@example.com>",
    date=datetime(2026, 3, 1, tzinfo=UTC),
)


def test_names_and_bodies_outside_ascii_need_no_smtputf8() -> None:
    assert not OUTGOING.needs_smtputf8


def test_domain_outside_ascii_needs_no_smtputf8() -> None:
    assert not replace(OUTGOING, sender=Mailbox("news@bücher.example")).needs_smtputf8


@pytest.mark.parametrize(
    "change",
    [
        {"recipient": "jürgen@example.com"},
        {"envelope_sender": "jürgen@example.com"},
        {"sender": Mailbox("jürgen@example.com")},
        {"reply_to": Mailbox("jürgen@example.com")},
    ],
)
def test_local_part_outside_ascii_needs_smtputf8(change: dict[str, Any]) -> None:
    assert replace(OUTGOING, **change).needs_smtputf8


def test_outgoing_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        OUTGOING.subject = "Another"  # type: ignore[misc]
