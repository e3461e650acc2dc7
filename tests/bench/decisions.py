"""Ask the list of suppressions, empty and full, and print how long each question took."""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable

from django.db import connection
from django.utils import timezone

from sending import ledger, screening
from sending.addresses import parse_address
from sending.commands.requests import check_request
from sending.ledger import Intake
from sending.models import Priority
from tests.factories.sending import RouteFactory, SendingProfileFactory

ROUNDS = 20
ASKED = (1, 100, 1000)
FILL = 'COPY sending_suppression (address, kind, reason, note, "by", created_at) FROM STDIN'


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
    now, began = timezone.now(), time.monotonic()
    with connection.cursor() as cursor:
        with cursor.copy(FILL) as copy:
            for number in range(rows):
                address = f"gone{number * 7_919 % rows}@recipient.example"
                copy.write_row((address, "address", "unsubscribed", "", "bench", now))
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
