"""Find an address where it is named in passing, and strike it out: in notes, logs, other mails.

`settings.PERSONAL_TEXTS` lists the tables. Each is read whole, once: no index finds what stands
within a text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db.models import CharField, Field, JSONField, Model, Q, QuerySet, TextField
from django.db.models.functions import Cast

from sending.models import Message, Status
from sending.models.message import WAITING
from sending.notations import certain_parts, notations_of

STRUCK = "[forgotten]"
# Who sends is no recipient; the recipient has a pseudonym, and the domain is counted. A mark, which
# is counted too, cannot name an address: acceptance refuses an @ in it.
SENDER = {"sender_address", "sender_name", "reply_to"}
KEPT = {*SENDER, "recipient", "recipient_domain", "message_id", "variant", "tags"}


@dataclass(frozen=True, slots=True)
class Mention:
    """A text that names an address: of which row and field."""

    row: Model
    field: str
    text: Any


def find(address: str) -> Iterator[Mention]:
    """Yield every text that names a case-folded address."""
    is_named = notations_of(address).search
    for label in settings.PERSONAL_TEXTS:
        name, _, only = label.partition(":")
        model = apps.get_model(name)
        fields = [field for field in _fields(model) if only in ("", field.name)]
        for row in _candidates(model, fields, address).iterator(chunk_size=500):
            for field in fields:
                text = getattr(row, field.attname)
                if any(is_named(one) for one in _texts(text)):
                    yield Mention(row, field.attname, text)


def strike(address: str) -> tuple[int, int]:
    """Strike the address out of all texts; return of how many, and how many have to wait.

    A mail to somebody else that is still to be sent keeps what it says until it has left.
    """
    pattern = notations_of(address)
    struck = waiting = 0
    for mention in list(find(address)):
        row = mention.row
        if isinstance(row, Message) and row.status in (*WAITING, Status.SENDING):
            waiting += 1
            continue
        field: Any = row._meta.get_field(mention.field)
        text = _without(mention.text, pattern)
        if isinstance(text, str) and field.max_length:
            text = text[: field.max_length]
        type(row)._base_manager.filter(pk=row.pk).update(**{mention.field: text})
        struck += 1
    return struck, waiting


def _fields(model: type[Model]) -> list[Field[Any, Any]]:
    return [
        field
        for field in model._meta.concrete_fields
        if isinstance(field, (CharField, TextField, JSONField))
        and not (field.choices or field.primary_key or field.name in KEPT)
    ]


def _candidates(
    model: type[Model], fields: list[Field[Any, Any]], address: str
) -> QuerySet[Model, Model]:
    """Return the rows in which the address may be named."""
    casts = {
        f"{field.name}_text": Cast(field.name, TextField())
        for field in fields
        if isinstance(field, JSONField)
    }
    local, hosts = certain_parts(address)
    condition = Q(pk__in=[])
    for field in fields:
        name = f"{field.name}_text" if f"{field.name}_text" in casts else field.name
        named = Q(**{f"{name}__icontains": local})
        condition |= named & Q(
            *[Q(**{f"{name}__icontains": host}) for host in hosts], _connector=Q.OR
        )
    return model._base_manager.annotate(**casts).filter(condition)


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
