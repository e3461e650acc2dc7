"""Label all opens and clicks by the rules of today: ``manage.py relabel_events``."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_date

from sending.models import first_id_since
from tracking import visits
from tracking.models import Visit
from tracking.visitors import RULESET

AT_ONCE = 500
BAR = 30


class Command(BaseCommand):
    """Find out anew who every open and click was by, and correct what is kept of it."""

    help = (
        "Label all opens and clicks by the rules of this version, and correct the first open and "
        "click of their messages. It can be repeated and stopped at any time."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the day to begin with."""
        parser.add_argument(
            "--since",
            type=_day,
            metavar="YYYY-MM-DD",
            help="only messages accepted since that day (UTC); default: all",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Go through the messages in lots, showing how far it is."""
        since: datetime | None = options["since"]
        first = first_id_since(since) if since else UUID(int=0)
        total = Visit.objects.filter(message_id__gte=first).count()
        seen = changed = 0
        for message_ids in _lots(first):
            changed += visits.relabel(message_ids)
            seen += Visit.objects.filter(message_id__in=message_ids).count()
            self._show(seen, max(total, seen), changed)
        if total:
            self.stderr.write("")
        self.stdout.write(f"{changed} of {seen} opens and clicks changed (rules {RULESET}).")

    def _show(self, seen: int, total: int, changed: int) -> None:
        """Draw the bar over itself on a terminal; in a log it would be one long line."""
        if self.stderr.isatty():
            done = seen * BAR // total
            bar = "#" * done + "." * (BAR - done)
            text = f"\r[{bar}] {seen * 100 // total} % of {total}, {changed} changed "
            self.stderr.write(text, ending="")
            self.stderr.flush()


def _lots(first: UUID) -> Iterator[list[UUID]]:
    """Return the ids of all messages with hits, some at a time."""
    found = Visit.objects.order_by("message_id").values_list("message_id", flat=True).distinct()
    lot = list(found.filter(message_id__gte=first)[:AT_ONCE])
    while lot:
        yield lot
        lot = list(found.filter(message_id__gt=lot[-1])[:AT_ONCE])


def _day(text: str) -> datetime:
    day = parse_date(text)
    if day is None:
        raise ValueError(text)
    return datetime(day.year, day.month, day.day, tzinfo=timezone.get_default_timezone())
