"""Ask the list of suppressions, empty and full, and print how long each question took."""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable

from django.db import connection

from sending import ledger, screening
from sending.addresses import parse_address
from sending.commands.requests import check_request
from sending.ledger import Intake
from sending.models import Priority
from tests.factories.sending import RouteFactory, SendingProfileFactory

ROUNDS = 20
ASKED = (1, 100, 1000)
# The addresses are given in no order, as they come in life; 7,919 is a prime.
FILL = """
INSERT INTO sending_suppression (address, kind, reason, note, "by", created_at)
SELECT 'gone' || number * 7919 % %(rows)s || '@recipient.example', 'address', 'unsubscribed', '',
    'bench', now()
FROM generate_series(1::bigint, %(rows)s) AS number
"""
# Millions of rows are indexed sooner at once than one by one.
INDEXES = """
SELECT index.relname, pg_get_indexdef(index.oid), contype
FROM pg_index JOIN pg_class AS index ON index.oid = indexrelid
LEFT JOIN pg_constraint ON conindid = index.oid
WHERE indrelid = 'sending_suppression'::regclass AND NOT indisprimary
"""


def run(*, rows: int) -> None:
    """Print the figures of an empty list and of a full one."""
    RouteFactory.create(is_default=True)
    request = check_request(SendingProfileFactory.create(), addresser=None, attribs=None)

    def intake_of(addresses: list[str]) -> Intake:
        return request.intake([parse_address(one) for one in addresses], priority=Priority.BATCH)

    show(0, intake_of)
    fill(rows)
    show(rows, intake_of)


def fill(rows: int) -> None:
    """Suppress so many addresses, none of which is asked about, in no order."""
    began = time.monotonic()
    with connection.cursor() as cursor:
        cursor.execute("SET maintenance_work_mem = '512MB'")
        cursor.execute(INDEXES)
        indexes = cursor.fetchall()
        for name, _, constraint in indexes:
            what = "ALTER TABLE sending_suppression DROP CONSTRAINT" if constraint else "DROP INDEX"
            cursor.execute(f'{what} "{name}"')
        cursor.execute(FILL.replace("%(rows)s", str(rows)))
        for _, definition, _ in indexes:
            cursor.execute(definition)
        cursor.execute("VACUUM ANALYZE sending_suppression")
        cursor.execute("CHECKPOINT")
    print(f"{rows:,} orders stored in {time.monotonic() - began:.0f} s", flush=True)


def show(rows: int, intake_of: Callable[[list[str]], Intake]) -> None:
    """Ask about addresses of which none is suppressed, as nearly all are."""
    for number in ASKED:
        addresses = [f"r{one}@recipient.example" for one in range(number)]
        for name, act in (
            ("decide about", functools.partial(screening.decide, addresses)),
            ("screen and store", functools.partial(take_in, addresses, intake_of)),
        ):
            print(f"{rows:>12,} orders  {name:<16} {number:>5,}  {median(act):8.2f} ms", flush=True)


def take_in(addresses: list[str], intake_of: Callable[[list[str]], Intake]) -> None:
    """Accept a mail for each address; a rollback would have the statement prepared anew."""
    ledger.take_in(intake_of(addresses))


def median(act: Callable[[], object]) -> float:
    """Return the median time of an act in milliseconds."""
    act()
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        act()
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000
