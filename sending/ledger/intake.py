"""Store new messages: on PostgreSQL screened and stored in one statement, one round trip."""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, transaction

from sending import screening
from sending.addresses import Address
from sending.ledger.moves import accept
from sending.ledger.rows import database_now
from sending.ledger.statements import execute
from sending.ledger.turns import Turns
from sending.models import Message, Status, Suppression
from sending.pseudonyms import pseudonyms
from sending.screening import GRAVITY, PATTERN, Verdict

Blocked = Mapping[UUID, Verdict]


@dataclass(frozen=True, slots=True)
class Intake:
    """New messages of one request, which differ in nothing but their recipient.

    `despite`: the reasons of standing orders that do not stop them (`sending.screening`).
    """

    api_key_id: UUID
    template_version_id: int
    stream: str
    sender_address: str
    sender_name: str
    reply_to: str
    subject: str
    attribs: Mapping[str, Any]
    has_unsubscribe_link: bool
    track_opens: bool
    track_clicks: bool
    message_id_domain: str
    priority: int
    recipients: Mapping[UUID, Address]
    batch_id: UUID | None = None
    variant: str = ""
    tags: Sequence[str] = ()
    despite: Collection[str] = frozenset()

    def messages(self, *, now: datetime) -> list[Message]:
        """Return the messages, queued and due."""
        expires_at = now + _lifetime()
        return [
            Message(
                id=identity,
                api_key_id=self.api_key_id,
                template_version_id=self.template_version_id,
                stream=self.stream,
                recipient=address.address,
                recipient_domain=address.domain,
                sender_address=self.sender_address,
                sender_name=self.sender_name,
                reply_to=self.reply_to,
                subject=self.subject,
                attribs=self.attribs,
                has_unsubscribe_link=self.has_unsubscribe_link,
                track_opens=self.track_opens,
                track_clicks=self.track_clicks,
                batch_id=self.batch_id,
                variant=self.variant,
                tags=list(self.tags),
                message_id=f"<{identity}.{secrets.token_hex(6)}@{self.message_id_domain}>",
                priority=self.priority,
                status=Status.QUEUED,
                accepted_at=now,
                status_at=now,
                next_attempt_at=now,
                expires_at=expires_at,
            )
            for identity, address in self.recipients.items()
        ]

    def shared(self, request: int) -> dict[str, Any]:
        """Return what `STATEMENT` takes of request number `request`."""
        return {
            "request": request,
            "api_key_id": str(self.api_key_id),
            "template_version_id": self.template_version_id,
            "stream": self.stream,
            "sender_address": self.sender_address,
            "sender_name": self.sender_name,
            "reply_to": self.reply_to,
            "subject": self.subject,
            "attribs": self.attribs,
            "has_unsubscribe_link": self.has_unsubscribe_link,
            "track_opens": self.track_opens,
            "track_clicks": self.track_clicks,
            "message_id_domain": self.message_id_domain,
            "priority": int(self.priority),
            "batch_id": None if self.batch_id is None else str(self.batch_id),
            "variant": self.variant,
            "tags": self.tags,
            "despite": [str(reason) for reason in self.despite],
        }

    def each(self, request: int) -> list[dict[str, Any]]:
        """Return what `STATEMENT` takes of the recipients of request number `request`."""
        return [
            {
                "of_request": request,
                "id": str(identity),
                "recipient": address.address,
                "recipient_domain": address.domain,
                "suppression_key": address.suppression_key,
                "pseudonyms": pseudonyms(address.suppression_key),
            }
            for identity, address in self.recipients.items()
        ]


def take_in(intake: Intake) -> Blocked:
    """Store a queued message, with its first event, for each recipient that may get mail.

    Return those that a standing order blocks, of which nothing is stored. Outside a transaction
    the rows are committed when this returns, perhaps in one transaction with those of other
    threads. Idempotent: a message that is stored already is left alone.
    """
    if connection.vendor != "postgresql":
        return _screen_and_accept(intake)
    if connection.in_atomic_block:
        return _write([intake])[0]
    return _turns.store(intake)


def _screen_and_accept(intake: Intake) -> Blocked:
    with transaction.atomic():
        keys = {one: address.suppression_key for one, address in intake.recipients.items()}
        verdicts = screening.decide(set(keys.values()), despite=intake.despite)
        blocked = {one: verdicts[key] for one, key in keys.items() if key in verdicts}
        messages = intake.messages(now=database_now())
        accept([message for message in messages if message.id not in blocked])
    return blocked


def _lifetime() -> timedelta:
    return timedelta(hours=settings.QUEUE_LIFETIME_HOURS)


def _array(words: Collection[str]) -> str:
    return "{" + ",".join(str(word) for word in words) + "}"


# Screened one by one with LATERAL and LIMIT: the planner, which cannot know how many rows JSON
# holds, would otherwise read all standing orders instead of their index. It is what
# `sending.screening` decides; the few broad rules are compared one by one. The id of a message
# stands in its links, so its Message-ID has a secret part too: who has not seen the mail cannot
# write a bounce of it.
STATEMENT = r"""
WITH given AS MATERIALIZED (
    SELECT shared.*, one.*, statement_timestamp() AS now
    FROM json_to_recordset(%s::json) AS shared (
        request integer, api_key_id uuid, template_version_id bigint, stream text,
        sender_address text, sender_name text, reply_to text, subject text, attribs jsonb,
        has_unsubscribe_link boolean, track_opens boolean, track_clicks boolean,
        message_id_domain text, priority smallint, batch_id uuid, variant text, tags jsonb,
        despite text[]
    )
    JOIN json_to_recordset(%s::json) AS one (
        of_request integer, id uuid, recipient text, recipient_domain text, suppression_key text,
        pseudonyms text[]
    ) ON of_request = request
), broad AS MATERIALIZED (
    SELECT address, reason, kind, replace(replace(replace(replace(
        substr(address, {pattern_at}), '\', '\\'), '%%', '\%%'), '_', '\_'), '*', '%%') AS likeness
    FROM sending_suppression
    WHERE kind <> 'address' AND kind IN ('subdomains', 'pattern')
        AND (expires_at IS NULL OR expires_at > statement_timestamp())
), blocked AS MATERIALIZED (
    SELECT given.id, given.suppression_key, standing.reason, standing.address
    FROM given
    CROSS JOIN LATERAL (
        SELECT address, reason FROM (
            SELECT address, reason FROM sending_suppression
            WHERE address = ANY(
                ARRAY[given.suppression_key, '@' || given.recipient_domain] || given.pseudonyms
            )
                AND (expires_at IS NULL OR expires_at > given.now)
            UNION ALL
            SELECT address, reason FROM broad
            WHERE CASE kind WHEN 'pattern' THEN given.suppression_key LIKE likeness
                ELSE right('.' || given.recipient_domain, length(address)) = address END
        ) AS about
        WHERE reason <> ALL(given.despite)
        ORDER BY array_position('{gravity}'::text[], reason::text),
            address <> given.suppression_key
        LIMIT 1
    ) AS standing
), stored AS (
    INSERT INTO sending_message (
        id, api_key_id, template_version_id, stream, recipient, recipient_domain, sender_address,
        sender_name, reply_to, subject, attribs, has_unsubscribe_link, track_opens, track_clicks,
        message_id, priority, status, reason, accepted_at, status_at, next_attempt_at, expires_at,
        attempt_count, batch_id, variant, tags
    )
    SELECT id, api_key_id, template_version_id, stream, recipient, recipient_domain,
        sender_address, sender_name, reply_to, subject, attribs, has_unsubscribe_link,
        track_opens, track_clicks,
        '<' || id || '.' || right(gen_random_uuid()::text, 12) || '@' || message_id_domain || '>',
        priority, 'queued', '', now, now, now, now + %s::interval, 0,
        batch_id, variant, tags
    FROM given
    WHERE NOT EXISTS (SELECT FROM blocked WHERE blocked.id = given.id)
    ON CONFLICT (id) DO NOTHING
    RETURNING id, accepted_at
), told AS (
    INSERT INTO sending_event (
        message_id, kind, status_before, status_after, occurred_at, detail
    )
    SELECT id, 'queued', '', 'queued', accepted_at, '' FROM stored
)
SELECT id, suppression_key, reason, address FROM blocked
""".replace("{pattern_at}", str(len(PATTERN) + 1)).replace("{gravity}", _array(GRAVITY))


def _write(intakes: Sequence[Intake]) -> list[Blocked]:
    """Screen and store; commit at once unless a transaction is open."""
    shared = [intake.shared(number) for number, intake in enumerate(intakes)]
    each = [one for number, intake in enumerate(intakes) for one in intake.each(number)]
    lifetime = f"{_lifetime().total_seconds()} seconds"
    parameters = (json.dumps(shared), json.dumps(each), lifetime)
    try:
        rows = execute(STATEMENT, parameters)
    except (OperationalError, InterfaceError):
        # A connection that was kept may have ended long ago, and one that ended just now may
        # have committed: the rows have their ids, so that saying it once more makes no second.
        if connection.in_atomic_block or not _is_lost():
            raise
        connection.close()
        rows = execute(STATEMENT, parameters)
    blocked = {
        UUID(identity): Verdict(key, Suppression.Reason(reason), rule)
        for identity, key, reason, rule in rows
    }
    if not blocked:
        return [{} for _ in intakes]
    return [
        {one: blocked[one] for one in intake.recipients if one in blocked} for intake in intakes
    ]


def _is_lost() -> bool:
    return connection.connection is not None and connection.connection.closed


_turns: Turns[Intake, Blocked] = Turns(_write)
