"""Answer a request that comes twice once, and the second time with the same words.

Only what was accepted is kept: a request that was refused may be corrected and sent under the
same Idempotency-Key. The answer is stored in the transaction of the messages, so that neither is
there without the other.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from apikeys.errors import ApiKeyError
from apikeys.models import ApiKey
from sending import ledger
from sending.errors import (
    IdempotencyKeyInvalid,
    IdempotencyKeyReused,
    RequestInProgress,
    SendingError,
)
from sending.models import StoredAnswer

KEPT_FOR = timedelta(hours=24)
# More than one, so that there are never many; few, so that no caller waits for them.
FORGOTTEN_AT_ONCE = 10

_is_key = re.compile(r"[\x20-\x7e]{1,255}").fullmatch


@dataclass(frozen=True, slots=True)
class Answer:
    """What the caller is told; `message_id` of a single message, `batch_id` of a batch."""

    body: Mapping[str, Any]
    message_id: UUID | None = None
    batch_id: UUID | None = None
    is_replayed: bool = False


def once(
    act: Callable[[], Answer], *, key: ApiKey, idempotency_key: str, request: Mapping[str, Any]
) -> Answer:
    """Return what `act` answers, or what it answered when the same request came before.

    `request`: all that tells one request from another. Raises IdempotencyKeyInvalid;
    IdempotencyKeyReused when another request came under this key; RequestInProgress; and what
    `act` raises, of which nothing is kept.
    """
    if not _is_key(idempotency_key):
        raise IdempotencyKeyInvalid
    fingerprint = _fingerprint(request)
    with transaction.atomic():
        _lock(key, idempotency_key)
        kept = StoredAnswer.objects.filter(api_key=key, idempotency_key=idempotency_key).first()
        if kept is not None:
            return _again(kept, fingerprint)
        outcome = _answer_or_refusal(act)
        if isinstance(outcome, Answer):
            _keep(outcome, key=key, idempotency_key=idempotency_key, fingerprint=fingerprint)
            return outcome
    raise outcome


def _fingerprint(request: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()


def _lock(key: ApiKey, idempotency_key: str) -> None:
    """Hold this key until the end of the transaction; raise RequestInProgress if another does.

    SQLite needs no lock, because it has one writing transaction at a time.
    """
    if connection.vendor != "postgresql":
        return
    name = hashlib.sha256(f"{key.pk} {idempotency_key}".encode()).digest()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_try_advisory_xact_lock(%s)", [int.from_bytes(name[:8], signed=True)]
        )
        (is_ours,) = cursor.fetchone()
    if not is_ours:
        raise RequestInProgress


def _answer_or_refusal(act: Callable[[], Answer]) -> Answer | SendingError | ApiKeyError:
    """Catch a refusal, so that what was written down about it is committed."""
    try:
        return act()
    except (SendingError, ApiKeyError) as refusal:
        return refusal


def _keep(answer: Answer, *, key: ApiKey, idempotency_key: str, fingerprint: str) -> None:
    now = ledger.database_now()
    StoredAnswer.objects.create(
        api_key=key,
        idempotency_key=idempotency_key,
        fingerprint=fingerprint,
        body=json.dumps(answer.body),
        message_id=answer.message_id,
        batch_id=answer.batch_id,
        stored_at=now,
    )
    old = StoredAnswer.objects.filter(stored_at__lt=now - KEPT_FOR).order_by("stored_at")
    chosen = old.select_for_update(skip_locked=True).values_list("pk", flat=True)
    StoredAnswer.objects.filter(pk__in=list(chosen[:FORGOTTEN_AT_ONCE])).delete()


def _again(kept: StoredAnswer, fingerprint: str) -> Answer:
    if kept.fingerprint != fingerprint:
        raise IdempotencyKeyReused
    body = json.loads(kept.body)
    return Answer(body, message_id=kept.message_id, batch_id=kept.batch_id, is_replayed=True)
