"""What the queue asks of PostgreSQL, it asks in statements that the server knows already."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection
from django.utils import timezone

from sending import ledger
from sending.errors import Phase, Reply
from sending.ledger import AttemptFacts, Outcome
from sending.models import Status
from tests.factories.sending import MessageFactory, RouteFactory

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="prepared on PostgreSQL alone"),
]


def test_claim_and_hand_off_are_parsed_once_on_each_connection() -> None:
    for _ in range(2):
        ledger.claim(limit=1)
        ledger.begin_handoff([(uuid4(), 1)], patience=timedelta(seconds=1))
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_prepared_statements WHERE statement ~ 'claim'")
        assert cursor.fetchone()[0] >= 2


@pytest.mark.django_db(transaction=True)
def test_few_messages_are_handed_off_and_recorded_without_a_plan_of_their_own() -> None:
    message = MessageFactory.create(status=Status.SENDING)
    for _ in range(8):
        ledger.begin_handoff([(message.id, 1)], patience=timedelta(seconds=1))
        ledger.record([Outcome(message.id, 1, 1, Status.FAILED)])
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT min(generic_plans) > 0, sum(custom_plans) FROM pg_prepared_statements"
            " WHERE statement ~ 'UPDATE sending_message'"
        )
        assert cursor.fetchone() == (True, 0)


def test_an_attempt_by_a_route_that_was_removed_meanwhile_is_kept_without_it() -> None:
    message = MessageFactory.create(status=Status.SENDING, claim=7)
    route = RouteFactory.create()
    facts = AttemptFacts(
        route_id=route.pk,
        started_at=timezone.now(),
        duration_ms=3,
        phase=Phase.DOT,
        reply=Reply(code=250),
    )
    route.delete()
    ledger.record([Outcome(message.id, 7, 1, Status.SENT, attempt=facts)])
    attempt = message.attempts.get()
    assert (attempt.outcome, attempt.route) == (Status.SENT, None)


def test_attempts_of_a_route_are_found_without_reading_all() -> None:
    with connection.cursor() as cursor:
        # A table of a few rows is read whole, whatever there is.
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("EXPLAIN SELECT 1 FROM sending_attempt WHERE route_id = 7 LIMIT 1")
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "attempt_by_route" in plan
