"""Tell everything that is stored about an address, and forget it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Protocol
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Model, Q, QuerySet
from django.db.models.functions import Lower
from django.utils.module_loading import import_string

from sending import ledger, mentions, suppressions
from sending.addresses import InvalidAddress, parse_address
from sending.errors import InvalidRecipient
from sending.ledger.withdrawal import IS_ASCII
from sending.models import (
    Attempt,
    BulkPlace,
    Event,
    LiftedSuppression,
    Message,
    ReportedBounce,
    Status,
    Suppression,
    first_id_since,
)
from sending.pseudonyms import is_pseudonym, pseudonym
from sending.screening import key_of

AT_ONCE = 1000
# Far longer than it takes to accept a call: what was on its way in when an address was forgotten.
ACCEPTED_WITHIN = timedelta(hours=1)


class PersonalData(Protocol):
    """What a later app keeps of the recipients of messages; a line of PERSONAL_DATA names one."""

    def export(self, message_ids: Collection[UUID]) -> Mapping[str, Sequence[Model]]:
        """Return the rows about these messages, by the names under which they are told."""

    def forget(self, message_ids: Collection[UUID]) -> None:
        """Remove what tells of a person; what is counted stays. Called before the ledger does."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What became of an address: its pseudonym, and how much was anonymised.

    `on_their_way`: messages that are being handed over at this moment, so that it has to be
    repeated; `named_in_queue`: mails to others that name the address and are still to be sent.
    """

    pseudonym: str
    messages: int
    mentions: int
    on_their_way: int
    named_in_queue: int

    def __str__(self) -> str:
        return (
            f"{self.messages} messages were anonymised and {self.mentions} other texts struck out. "
            f"It stays suppressed as {self.pseudonym}."
        )

    @property
    def left(self) -> str:
        """Say what could not be erased yet; empty when that is nothing."""
        if not self.on_their_way and not self.named_in_queue:
            return ""
        return (
            f"{self.on_their_way} messages to it are being handed over, and {self.named_in_queue} "
            "to others that name it wait to be sent: forget it once more when they have left."
        )


def export_recipient(given: str) -> dict[str, Any]:
    """Return all that is stored about an address, as it could be written as JSON."""
    address = _key(given)
    ids = _messages_to([address])[address]
    told: dict[str, Any] = {"address": address}
    names = suppressions.names_of(address)
    about = Q(address__in=names)
    told["suppressions"] = _rows(Suppression.objects.filter(about).order_by("id"))
    told["lifted_suppressions"] = _rows(LiftedSuppression.objects.filter(about).order_by("id"))
    told["counted_for_the_cap"] = _rows(BulkPlace.objects.filter(address=address))
    bounces = ReportedBounce.objects.filter(Q(address=address) | Q(message_id__in=ids))
    told["reported_bounces"] = _rows(bounces.order_by("id"))
    told["messages"] = []
    for some in _lots(ids):
        told["messages"] += _messages(some)
        for part in personal_data():
            for name, rows in part.export(some).items():
                told.setdefault(name, []).extend(_rows(rows))
    named = [one for one in mentions.find([address]) if not _is_told(one.row, ids, names)]
    told["mentions"] = [
        {"table": one.row._meta.label, "id": one.row.pk, "field": one.field, "text": one.text}
        for one in named
    ]
    return told


def forget_recipient(given: str, *, by: str, now: datetime) -> Forgotten:
    """Erase an address everywhere; see `forget_recipients`."""
    return forget_recipients([given], by=by, now=now)[0]


def forget_recipients(given: Iterable[str], *, by: str, now: datetime) -> list[Forgotten]:
    """Erase addresses everywhere but for keyed hashes, under which they get no mail any more.

    Mail that waits for them is suppressed. What was counted stays counted. Every table is read once
    for all of them. Idempotent: once more finds what came meanwhile.
    """
    addresses = list(dict.fromkeys(map(_key, given)))
    # It is committed first: what is accepted from now on is refused, and no name of it is kept.
    hidden = {one: suppressions.forget(one, now=now, by=by) for one in addresses}
    anonymised = {
        address: _anonymise_all(address, ids, recipient=hidden[address], now=now)
        for address, ids in _messages_to(addresses).items()
    }
    ReportedBounce.objects.filter(address__in=addresses).delete()
    struck = mentions.strike(addresses)
    return [
        Forgotten(
            pseudonym=hidden[address],
            messages=anonymised[address][0],
            mentions=struck[address].texts,
            on_their_way=anonymised[address][1],
            named_in_queue=struck[address].waiting,
        )
        for address in addresses
    ]


def pseudonym_of(given: str) -> str:
    """Return by what an address is named where it must not stand in clear."""
    return pseudonym(_key(given))


def personal_data() -> list[PersonalData]:
    """Return what PERSONAL_DATA names; raise ImportError for what is not there."""
    return [import_string(path) for path in settings.PERSONAL_DATA]


def _key(given: str) -> str:
    try:
        address = parse_address(given).suppression_key
    except InvalidAddress as error:
        raise InvalidRecipient(str(error)) from None
    if is_pseudonym(address):
        raise InvalidRecipient("This is the pseudonym of an address that was forgotten already.")
    return address


def _messages_to(
    addresses: Collection[str], *, within: Q | None = None
) -> dict[str, dict[UUID, str]]:
    """Return for each address the messages to it, however it was written, each with how it was.

    No index finds other spellings: the table is read whole, or that part of it.
    """
    found = Q(lowered__in=addresses)
    if not "".join(addresses).isascii():  # what databases make of its case differs
        found |= ~Q(recipient__regex=IS_ASCII)
    rows = Message.objects.annotate(lowered=Lower("recipient")).filter(found, within or Q())
    told: dict[str, dict[UUID, str]] = {address: {} for address in addresses}
    for message_id, recipient in rows.order_by("id").values_list("id", "recipient"):
        if (key := key_of(recipient)) in told:
            told[key][message_id] = recipient
    return told


def _anonymise_all(
    address: str, ids: Mapping[UUID, str], *, recipient: str, now: datetime
) -> tuple[int, int]:
    """Anonymise these messages, and what came meanwhile; return how many, and how many are left."""
    spellings = set(ids.values())
    lately = Q(id__gte=first_id_since(now - ACCEPTED_WITHIN))
    anonymised = 0
    while ids:
        ledger.withdraw(set(ids.values()))
        more = sum(_anonymise(some, recipient=recipient) for some in _lots(ids))
        anonymised += more
        if not more:
            break
        again = Q(recipient__in=spellings) | lately
        ids = _messages_to([address], within=again)[address]
    return anonymised, len(ids)


def _anonymise(message_ids: Collection[UUID], *, recipient: str) -> int:
    with transaction.atomic():
        at_rest = (
            Message.objects.select_for_update()
            .filter(~Q(status=Status.SENDING), id__in=message_ids)
            .order_by("id")
        )
        ids = list(at_rest.values_list("id", flat=True))
        for part in personal_data():
            part.forget(ids)
        return ledger.anonymise(ids, recipient=recipient)


def _messages(ids: Collection[UUID]) -> list[dict[str, Any]]:
    """Return the rows of messages, each with its attempts and its history."""
    attempts: dict[UUID, list[Model]] = defaultdict(list)
    for attempt in Attempt.objects.filter(message_id__in=ids).order_by("id"):
        attempts[attempt.message_id].append(attempt)
    events: dict[UUID, list[Model]] = defaultdict(list)
    for event in Event.objects.filter(message_id__in=ids).order_by("id"):
        events[event.message_id].append(event)
    return [
        _row(one) | {"attempts": _rows(attempts[one.id]), "events": _rows(events[one.id])}
        for one in Message.objects.filter(id__in=ids).order_by("id")
    ]


def _is_told(row: Model, ids: Mapping[UUID, str], names: Collection[str]) -> bool:
    """Tell whether the row is part of a message, or an order, that is told whole."""
    message_id = row.pk if isinstance(row, Message) else getattr(row, "message_id", None)
    return message_id in ids or getattr(row, "address", None) in names


def _rows(rows: Iterable[Model] | QuerySet[Any]) -> list[dict[str, Any]]:
    return [_row(one) for one in rows]


def _row(row: Model) -> dict[str, Any]:
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}


def _lots(ids: Iterable[UUID]) -> Iterable[list[UUID]]:
    left = iter(ids)
    while some := list(islice(left, AT_ONCE)):
        yield some
