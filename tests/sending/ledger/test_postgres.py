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
