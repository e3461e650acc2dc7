"""Tell what happened to a message, with what other apps know of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from django.conf import settings
from django.utils.module_loading import import_string

from sending.models import Event, Message, Status

# What one page shows; a message that robots found may have any number of events.
MAX_EVENTS = 200
STATUS_COLORS = {
    Status.QUEUED: "info",
    Status.SENDING: "info",
    Status.SENT: "success",
    Status.DELIVERED: "success",
    Status.DEFERRED: "warning",
    Status.UNKNOWN: "warning",
    Status.EXPIRED: "danger",
    Status.BOUNCED: "danger",
    Status.COMPLAINED: "danger",
    Status.REJECTED: "danger",
    Status.FAILED: "danger",
}
KIND_COLORS = {
    "opened": "info",
    "clicked": "success",
    "unsubscribed": "warning",
    "complained": "danger",
    "bounced": "danger",
}


@dataclass(frozen=True, slots=True)
class Note:
    """What an app knows of an event: who did it, as a coloured word, and what it was."""

    who: str
    color: str
    text: str
    target: str = ""


class Entry(NamedTuple):
    """One line of a timeline."""

    event: Event
    color: str
    note: Note | None


NoteMaker = Callable[[Collection[int]], Mapping[int, Note]]


@lru_cache(maxsize=1)
def _makers() -> list[NoteMaker]:
    """Return what `settings.EVENT_NOTES` names: functions from ids of events to their notes."""
    return [import_string(name) for name in settings.EVENT_NOTES]


def notes_on(event_ids: Collection[int]) -> dict[int, Note]:
    """Return what the apps know of events, in a constant number of queries."""
    return {one: note for maker in _makers() for one, note in maker(event_ids).items()}


def color_of(event: Event) -> str:
    """Return the colour of an event's word."""
    if event.status_after:
        return STATUS_COLORS.get(Status(event.status_after), "")
    return KIND_COLORS.get(event.kind, "")


def timeline(message: Message) -> list[Entry]:
    """Return the first `MAX_EVENTS` events of a message, in the order in which they were told."""
    events = list(message.events.order_by("id")[:MAX_EVENTS])
    notes = notes_on([event.pk for event in events])
    return [Entry(event, color_of(event), notes.get(event.pk)) for event in events]
