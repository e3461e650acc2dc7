"""Find an address where it is named in passing, and strike it out: in notes, logs, other mails.

`settings.PERSONAL_TEXTS` lists the tables. Each is read whole, once for all who are looked for: no
index finds what stands within a text.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice, product
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db.models import CharField, Field, JSONField, Model, Q, TextField
from django.db.models.functions import Cast

from sending.models import Message, Status
from sending.models.message import WAITING
from sending.notations import certain_parts, notations_of

STRUCK = "[forgotten]"
AT_ONCE = 500
# Who sends is no recipient; the recipient has a pseudonym, and the domain is counted. A mark, which
# is counted too, cannot name an address: acceptance refuses an @ in it.
SENDER = {"sender_address", "sender_name", "reply_to"}
KEPT = {*SENDER, "recipient", "recipient_domain", "message_id", "variant", "tags"}


@dataclass(frozen=True, slots=True)
class Mention:
    """A text that names somebody: of which row and field, and by which of the addresses."""

    row: Model
    field: str
    text: Any
    addresses: tuple[str, ...]


@dataclass(slots=True)
class Struck:
    """Out of how many texts an address was struck, and how many have to wait."""

    texts: int = 0
    waiting: int = 0


def find(addresses: Collection[str]) -> Iterator[Mention]:
    """Yield every text that names one of the case-folded addresses."""
    patterns = {address: notations_of(address) for address in addresses}
    for label in settings.PERSONAL_TEXTS:
        name, _, only = label.partition(":")
        model = apps.get_model(name)
        fields = [field for field in _fields(model) if only in ("", field.name)]
        for row in _candidates(model, fields, addresses):
            for field in fields:
                text = getattr(row, field.attname)
                named = tuple(
                    address
                    for address, pattern in patterns.items()
                    if any(pattern.search(one) for one in _texts(text))
                )
                if named:
                    yield Mention(row, field.attname, text, named)


def strike(addresses: Collection[str]) -> dict[str, Struck]:
    """Strike the addresses out of all texts; tell of each what came of that.

    A mail to somebody else that is still to be sent keeps what it says until it has left.
    """
    told = {address: Struck() for address in addresses}
    for mention in list(find(addresses)):
        row = mention.row
        must_wait = isinstance(row, Message) and row.status in (*WAITING, Status.SENDING)
        for address in mention.addresses:
            if must_wait:
                told[address].waiting += 1
            else:
                told[address].texts += 1
        if not must_wait:
            _strike_one(mention)
    return told


def _strike_one(mention: Mention) -> None:
    field: Any = mention.row._meta.get_field(mention.field)
    text = mention.text
    for address in mention.addresses:
        text = _without(text, notations_of(address))
    if isinstance(text, str) and field.max_length:
        text = text[: field.max_length]
    rows = type(mention.row)._base_manager.filter(pk=mention.row.pk)
    rows.update(**{mention.field: text})


def _fields(model: type[Model]) -> list[Field[Any, Any]]:
    return [
        field
        for field in model._meta.concrete_fields
        if isinstance(field, (CharField, TextField, JSONField))
        and not (field.choices or field.primary_key or field.name in KEPT)
    ]


def _candidates(
    model: type[Model], fields: list[Field[Any, Any]], addresses: Collection[str]
) -> Iterator[Model]:
    """Yield the rows in which one of the addresses may be named.

    First their keys, without a cursor: only so do several processes of PostgreSQL read a table.
    """
    casts = {
        f"{field.name}_text": Cast(field.name, TextField())
        for field in fields
        if isinstance(field, JSONField)
    }
    names = [
        f"{field.name}_text" if f"{field.name}_text" in casts else field.name for field in fields
    ]
    parts = [certain_parts(address) for address in addresses]
    condition = Q(pk__in=[])
    for name, (local, hosts) in product(names, parts):
        is_host = Q(*[Q(**{f"{name}__icontains": host}) for host in hosts], _connector=Q.OR)
        condition |= Q(**{f"{name}__icontains": local}) & is_host
    rows = model._base_manager.all()
    keys = iter(list(rows.annotate(**casts).filter(condition).values_list("pk", flat=True)))
    while lot := list(islice(keys, AT_ONCE)):
        yield from rows.filter(pk__in=lot)


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts in a value of JSON."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, part in value.items():
            yield str(name)
            yield from _texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)


def _without(value: Any, pattern: re.Pattern[str]) -> Any:
    if isinstance(value, str):
        return pattern.sub(STRUCK, value)
    if isinstance(value, dict):
        return {
            pattern.sub(STRUCK, str(name)): _without(part, pattern) for name, part in value.items()
        }
    if isinstance(value, list):
        return [_without(part, pattern) for part in value]
    return value
