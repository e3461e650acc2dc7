"""Give tests messages that have left, and reports about them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.conf import settings

from sending import return_path
from sending.models import Message, SendingProfile, Status
from tests.factories.sending import MessageFactory, SendingProfileFactory


@pytest.fixture
def profile(db: None) -> SendingProfile:
    return SendingProfileFactory.create()


@pytest.fixture
def sent(profile: SendingProfile) -> Callable[..., Message]:
    """Make a message that the next hop has."""

    def make(recipient: str = "ann@recipient.example", **fields: object) -> Message:
        fields = {"status": Status.SENT, "profile": profile} | fields
        message: Message = MessageFactory.create(recipient=recipient, **fields)
        return message

    return make


def path_of(message: Message, *, key: str = "") -> str:
    """Return the signed return-path of a message."""
    key = key or settings.SIGNING_KEYS[0]
    return return_path.encode(message.id, domain="bounce.example.com", key=key.encode())
