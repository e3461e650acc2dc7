"""Time every page of the dashboard: ``python -m tests.bench.pages [--repeat 5] [WORD]``.

It looks at the database that DATABASE_URL names, best after ``manage.py seed_demo --messages
5000000``, and changes nothing there. New pages are found by themselves. WORD: only addresses and
names with it. Ends with 1 when a page is over what it may need.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import urlencode, urlsplit
from zoneinfo import ZoneInfo

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billionmail.settings")
django.setup()

from django.conf import settings  # noqa: E402
from django.contrib import admin  # noqa: E402 - Django is set up first
from django.contrib.auth.models import User  # noqa: E402
from django.db import connection, models, transaction  # noqa: E402
from django.test import Client, RequestFactory  # noqa: E402
from django.urls import URLPattern, URLResolver, reverse  # noqa: E402
from django.utils import timezone  # noqa: E402

from apikeys.models import ApiKey  # noqa: E402
from sending.models import Message, SenderDomain, Template, first_id_since  # noqa: E402
from stats import queries  # noqa: E402
from stats.admin.failures import name_of  # noqa: E402
from stats.models import Day, Dimension  # noqa: E402

MOST_MILLISECONDS, MOST_QUERIES = 300, 12
# Acts and files, no pages that somebody waits for; a request for them would do something.
LEFT_OUT = ("logout", "autocomplete", "jsi18n", "view_on_site", "export")
MONTH = timedelta(days=30)
# In so many days of it a key had mail that is compared with another.
BUSY_DAYS = 25


@dataclass
class Timing:
    """What one page needed, the fastest time that it was asked for.

    `needed` is our processor time and the time of the statements, the rest of `waited` the
    machine gave to others.
    """

    name: str
    waited: float = math.inf
    needed: float = math.inf
    database: float = math.inf
    queries: int = 0
    slowest: tuple[float, str] = (0.0, "")
    status: int = 200

    @property
    def is_over(self) -> bool:
        """Tell whether it needs more than it may."""
        return self.needed > MOST_MILLISECONDS or self.queries > MOST_QUERIES

    def line(self) -> str:
        """Return its row of the table."""
        mark = " OVER" if self.is_over else ""
        slow = f"  {self.slowest[0]:,.0f} ms: {self.slowest[1]}" if self.is_over else ""
        status = "" if self.status == 200 else f" ({self.status})"
        figures = f"{self.needed:8,.0f} {self.database:8,.0f} {self.waited:8,.0f} {self.queries:8}"
        return f"{figures}  {self.name}{status}{mark}{slow}"


class Queries:
    """Count the statements of a connection, and remember the one that took longest."""

    def __init__(self) -> None:
        self.number = 0
        self.milliseconds = 0.0
        self.slowest = (0.0, "")

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        """Run a statement; see Django's ``execute_wrapper``."""
        began = time.perf_counter()
        try:
            return execute(sql, params, many, context)
        finally:
            # A page is within our transaction; outside it has no savepoints.
            if "SAVEPOINT" not in sql:
                self.number += 1
                took = (time.perf_counter() - began) * 1000
                self.milliseconds += took
                self.slowest = max(self.slowest, (took, " ".join(sql.split())[:300]))


def main() -> int:
    """Time all pages and print the table; return 1 when one is over what it may need."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("word", nargs="?", default="", help="only pages with it in the address")
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    names = f"{'ms':>8} {'database':>8} {'waited':>8} {'queries':>8}"
    print(f"{names}  page (at most {MOST_MILLISECONDS} ms, {MOST_QUERIES} queries)")
    over = 0
    with transaction.atomic():
        # The person who looks, and whatever looking leaves behind, is gone afterwards.
        client = _somebody()
        for name, act in [*_figures(), *_pages(client)]:
            if options.word in name:
                timing = _timed(name, act, repeat=options.repeat)
                over += timing.is_over
                print(timing.line(), flush=True)
        if options.word in "figures of a month":
            _print_months(repeat=options.repeat)
        transaction.set_rollback(True)
    print(f"{over} over.")
    return int(bool(over))


def _somebody() -> Client:
    # As the browser of somebody who uses the dashboard under its own name.
    name = urlsplit(settings.PUBLIC_URL).hostname or "localhost"
    client = Client(raise_request_exception=False, SERVER_NAME=name)
    client.force_login(User.objects.create_superuser("bench-of-pages"))
    return client


def _timed(name: str, act: Any, *, repeat: int) -> Timing:
    timing = Timing(name)
    for _ in range(repeat):
        counted = Queries()
        with ExitStack() as stack:
            stack.enter_context(transaction.atomic())
            stack.enter_context(connection.execute_wrapper(counted))
            began, cpu = time.perf_counter(), time.thread_time()
            timing.status = act() or 200
            waited = (time.perf_counter() - began) * 1000
            cpu = (time.thread_time() - cpu) * 1000
            transaction.set_rollback(True)
        timing.queries = counted.number
        if cpu + counted.milliseconds < timing.needed:
            timing.needed, timing.waited = cpu + counted.milliseconds, waited
            timing.database, timing.slowest = counted.milliseconds, counted.slowest
    return timing


def _pages(client: Client) -> Iterator[tuple[str, Any]]:
    for address in _addresses():
        yield address, partial(_status, client, address)


def _status(client: Client, address: str) -> int:
    answer = client.get(address, secure=settings.PUBLIC_URL.startswith("https"))
    if answer.status_code == 200 and hasattr(answer, "streaming_content"):
        b"".join(answer.streaming_content)
    return answer.status_code


def _addresses() -> Iterator[str]:
    """Return every page of the admin that a GET shows, the lists with their filters too."""
    yield reverse("admin:index")
    yield from _of_one_thing()
    seen = set()
    for model, model_admin in admin.site._registry.items():
        example = _example(model)
        for pattern in _patterns(model_admin.get_urls()):
            name = pattern.name or ""
            if not name or name in seen or any(word in name for word in LEFT_OUT):
                continue
            seen.add(name)
            if not pattern.pattern.converters:
                yield reverse(f"admin:{name}")
            elif example is not None:
                yield reverse(f"admin:{name}", args=[example])
        yield from _of_list(model, model_admin)


def _of_one_thing() -> Iterator[str]:
    """Return the pages of figures that are about something which their parameters name."""
    span = "?from=2000-01-01"
    for page in ("failures", "open_times", "providers", "sender_domains"):
        yield reverse(f"admin:sending_message_{page}") + span
    worst = queries.failures(queries.Cut(start=timezone.now() - MONTH, end=timezone.now()), limit=1)
    for group in worst:
        yield f"{reverse('admin:sending_message_failures')}?{urlencode({'group': name_of(group)})}"
    domain = SenderDomain.objects.values_list("domain", flat=True).first()
    for page, value in (("providers", "gmail"), ("sender_domains", domain)):
        yield f"{reverse(f'admin:sending_message_{page}')}{span}&{urlencode({'of': value})}"
    many = Message.objects.exclude(batch_id=None).order_by("-id").first()
    if many is not None:
        yield reverse("admin:sending_message_batch", args=[many.pk])
        address = urlencode({"address": many.recipient})
        yield f"{reverse('admin:sending_message_recipient')}?{address}"
    for template in Template.objects.values_list("pk", flat=True):
        yield reverse("admin:sending_template_figures", args=[template]) + span


def _patterns(patterns: list[URLPattern | URLResolver]) -> Iterator[URLPattern]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from _patterns(pattern.url_patterns)
        else:
            yield pattern


def _of_list(model: type[models.Model], model_admin: Any) -> Iterator[str]:
    """Return the list of a model with each of its filters, a search, and a page far down."""
    place = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    yield f"{place}?p=2"
    if model_admin.search_fields:
        word = "ada.berg@gmail.example" if model is Message else "ada"
        yield f"{place}?q={word}"
    for chosen in _choices(model_admin, place):
        yield place + chosen


def _choices(model_admin: Any, place: str) -> Iterator[str]:
    """Return the second choice of each filter of a list: the first is all."""
    request = _request(place)
    for one in model_admin.get_changelist_instance(request).filter_specs:
        choices = list(one.choices(model_admin.get_changelist_instance(request)))
        links = [choice.get("query_string") for choice in choices]
        links = [link for link in links if link and link != "?"]
        yield from links[:1]


def _request(place: str) -> Any:
    request = RequestFactory().get(place)
    request.user = User.objects.get(username="bench-of-pages")
    return request


def _example(model: type[models.Model]) -> Any:
    """Return the object whose page is opened: of keys the busiest, else the newest."""
    if model is ApiKey:
        return _busiest_key()
    newest = model._default_manager.order_by("-pk").values_list("pk", flat=True)
    return newest.first()


def _busiest_key() -> Any:
    counted = Day.objects.filter(dimension=Dimension.ALL).values_list("api_key")
    most = counted.annotate(number=models.Sum("taken") + models.Sum("confirmed"))
    return most.order_by("-number").values_list("api_key", flat=True).first()


def _figures() -> Iterator[tuple[str, Any]]:
    """Return the questions that pages ask about the busiest key, of a month."""
    key = _busiest_key()
    if key is None:
        return
    now = timezone.now()
    number = Message.objects.filter(api_key=key, id__gte=first_id_since(now - MONTH)).count()
    print(f"{'':36} the busiest key had {number:,} messages accepted in the last 30 days")
    for name, ask in _questions(key, now=now).items():
        yield f"figures of a month: {name}", _without_answer(ask)


def _questions(key: Any, *, now: datetime) -> dict[str, Callable[[], object]]:
    cut = queries.Cut(start=now - MONTH, end=now, keys=frozenset({key}))
    zoned = queries.Cut(
        start=now - MONTH, end=now, keys=cut.keys, zone=ZoneInfo("America/New_York")
    )
    asked: dict[str, Callable[[], object]] = {
        "totals": lambda: queries.totals(cut),
        "comparison": lambda: queries.comparison(cut),
        "days": lambda: queries.series(cut, step=queries.Step.DAY),
        "days in New York": lambda: queries.series(zoned, step=queries.Step.DAY),
        "hours": lambda: queries.series(cut, step=queries.Step.HOUR),
        "open times": lambda: queries.open_times(zoned),
        "links": lambda: queries.links(cut),
        "failures": lambda: queries.failures(cut),
        "waits": lambda: queries.waits(cut),
    }
    for by in queries.By:
        asked[f"by {by.value}"] = partial(queries.breakdown, cut, by=by)
    return asked


def _print_months(*, repeat: int) -> None:
    """Compare a month of the busiest key with one of the key that had least, but all the month."""
    now = timezone.now()
    counted = (
        Day.objects.filter(dimension=Dimension.ALL, began_at__gte=now - MONTH)
        .values_list("api_key")
        .annotate(
            days=models.Count("began_at"),
            number=models.Sum(models.F("taken") + models.F("confirmed")),
        )
    )
    keys = sorted((number, key) for key, days, number in counted if days >= BUSY_DAYS)
    if len(keys) < 2:
        return
    (fewest, quiet), (most, busy) = keys[0], keys[-1]
    print(f"\n{'quiet':>8} {'busy':>8} {'ratio':>8}  a month of one key, ms:", end="")
    print(f" {fewest:,} and {most:,} messages, {most / fewest:.0f} times as many")
    both = zip(_questions(quiet, now=now).items(), _questions(busy, now=now).values(), strict=True)
    for (name, ask_quiet), ask_busy in both:
        one = _timed(name, _without_answer(ask_quiet), repeat=repeat).needed
        other = _timed(name, _without_answer(ask_busy), repeat=repeat).needed
        print(f"{one:8.1f} {other:8.1f} {other / one:8.2f}  {name}", flush=True)


def _without_answer(ask: Callable[[], object]) -> Callable[[], None]:
    def act() -> None:
        ask()

    return act


if __name__ == "__main__":
    sys.exit(main())
