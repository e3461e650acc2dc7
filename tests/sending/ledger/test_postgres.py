"""What the queue asks of PostgreSQL, it asks in statements that the server knows already."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection

from sending import ledger

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


def test_attempts_of_a_route_are_found_without_reading_all() -> None:
    with connection.cursor() as cursor:
        # A table of a few rows is read whole, whatever there is.
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("EXPLAIN SELECT 1 FROM sending_attempt WHERE route_id = 7 LIMIT 1")
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "attempt_by_route" in plan
