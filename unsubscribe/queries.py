"""Find what the page behind a mail shows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sending.models import Message, Suppression
from sending.suppressions import key_of
from unsubscribe.models import PageWording

WORDS = ("sender_name", "logo", "question", "explanation", "button", "done")


@dataclass(frozen=True, slots=True)
class Words:
    """What an operator has written for the page; empty where our own words stand."""

    sender_name: str = ""
    logo: str = ""
    question: str = ""
    explanation: str = ""
    button: str = ""
    done: str = ""


def words_for(message: Message, *, language: str) -> Words:
    """Return the words in this language, else those for every language, one by one."""
    domain = message.sender_address.rpartition("@")[2]
    rows = {
        row.language: row
        for row in PageWording.objects.filter(
            sender_domain__domain=domain, language__in=[language, ""]
        )
    }
    found = [rows[key] for key in (language, "") if key in rows]
    words = {
        name: next((value for row in found if (value := getattr(row, name))), "") for name in WORDS
    }
    return Words(**words | {"sender_name": words["sender_name"] or message.sender_name})


def has_said_no(message: Message, *, now: datetime) -> bool:
    """Tell whether the recipient's own no stands, by whichever mail it was said."""
    standing = Suppression.objects.exclude(expires_at__lte=now)
    return standing.filter(
        address=key_of(message.recipient), reason=Suppression.Reason.UNSUBSCRIBED
    ).exists()
