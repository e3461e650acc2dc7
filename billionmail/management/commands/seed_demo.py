"""Fill an installation with made-up mail, or take it away again: ``manage.py seed_demo``."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from billionmail import demo
from sending.models import Message

DEFAULT_MESSAGES = 8_000
DEFAULT_DAYS = 42
FRESH_FOR = timedelta(hours=12)
BAR = 30


class Command(BaseCommand):
    """Make up keys, templates and weeks of mail, opens, bounces and alerts."""

    help = (
        "Fill this installation with made-up data: keys, templates, weeks of mail with opens, "
        "clicks, bounces and alerts, to try the dashboard or to measure it. Nothing is sent. "
        "Where it was done today already, nothing is changed; older made-up data is replaced."
    )

    # What the bar is about, and since when.
    _what, _since = "", 0.0

    def add_arguments(self, parser: CommandParser) -> None:
        """Take how much, and whether to remove it."""
        parser.add_argument("--messages", type=int, default=DEFAULT_MESSAGES, metavar="N")
        parser.add_argument("--days", type=int, default=DEFAULT_DAYS, help="how far it goes back")
        parser.add_argument("--seed", type=int, default=1, help="another seed makes other mail")
        parser.add_argument(
            "--beside-real-mail",
            action="store_true",
            help="also where real mail was accepted: the figures of all keys together then show "
            "both, until --remove",
        )
        parser.add_argument(
            "--remove", action="store_true", help="remove the made-up data, and nothing else"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it, or say why not."""
        if options["remove"]:
            self._remove()
            return
        if options["messages"] < 1 or not 1 <= options["days"] <= 3650:
            raise CommandError("--messages must be at least 1, --days from 1 to 3650.")
        now = timezone.now()
        keys = demo.demo_keys()
        if keys and demo.newest_at() > now - FRESH_FOR:
            self.stdout.write("The made-up data is here already; --remove takes it away.")
            return
        self._refuse_beside_real_mail(is_told=options["beside_real_mail"])
        if keys:
            self._remove()
        if taken := demo.taken_names():
            raise CommandError(
                f"There is already {', '.join(taken)}, which the made-up data needs for itself. "
                "Rename it, or use another database."
            )
        self._perform(options, now=now)

    def _refuse_beside_real_mail(self, *, is_told: bool) -> None:
        own = [key.pk for key in demo.demo_keys()]
        if not is_told and Message.objects.exclude(api_key__in=own).exists():
            raise CommandError(
                "Real mail was accepted here, and made-up data would stand among it. Use another "
                "database, or say --beside-real-mail; --remove takes the made-up data away again."
            )

    def _perform(self, options: dict[str, Any], *, now: Any) -> None:
        try:
            demo.perform(
                messages=options["messages"],
                days=options["days"],
                seed=options["seed"],
                now=now,
                watch=self._show,
            )
        except ValidationError as error:
            raise CommandError("; ".join(error.messages)) from error
        self.stdout.write(
            f"{options['messages']:,} made-up messages are here. "
            "`manage.py seed_demo --remove` takes them away."
        )

    def _remove(self) -> None:
        if not demo.demo_keys():
            self.stdout.write("There is no made-up data here.")
            return
        stays = demo.remove(watch=self._show_removal)
        self.stdout.write("The made-up data is gone.")
        if stays:
            self.stdout.write(f"Real keys use {', '.join(stays)}, so that stays.")

    def _show_removal(self, done: int) -> None:
        """Tell how many messages are gone, on a terminal only."""
        if self.stderr.isatty():
            self.stderr.write(f"\r{done:,} messages ", str, ending="")
            self.stderr.flush()

    def _show(self, done: int, total: int, what: str) -> None:
        """Draw the bar of what is being done over itself, on a terminal only."""
        if not self.stderr.isatty() or not total:
            return
        if what != self._what:
            self._what, self._since = what, time.monotonic()
        passed = time.monotonic() - self._since
        left = passed * (total - done) / done if done else 0.0
        bar = ("#" * (done * BAR // total)).ljust(BAR, ".")
        share = f"{done * 100 // total:3} % of {total:,} {what}"
        self.stderr.write(f"\r[{bar}] {share}, {_minutes(left)} to go ", str, ending="")
        if done == total:
            self.stderr.write("")
        self.stderr.flush()


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
