"""Erase addresses, and see to it that they get no mail all the same."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from sending.commands.personal import Forgotten, forget_recipients
from sending.errors import InvalidRecipient

WAIT_SECONDS = 60
PAUSE_SECONDS = 1
BY = "forget_recipient"


class Command(BaseCommand):
    """Forget recipients, after asking."""

    help = (
        "Erases addresses from messages, history, opens and clicks, suppressions, bounces, logs "
        "of the dashboard and other texts. Counts stay. A keyed hash stays among the "
        "suppressions, so that an address gets no mail. Every table is read whole, once for all "
        "of them. It cannot be undone."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the addresses, and whether to ask."""
        parser.add_argument("addresses", nargs="+", metavar="ADDRESS")
        parser.add_argument("--yes", action="store_true", help="do not ask")

    def handle(self, *args: Any, **options: Any) -> None:
        """Ask, erase, wait for what is being handed over, tell."""
        number = len(options["addresses"])
        whom = "this recipient" if number == 1 else f"these {number} recipients"
        if not options["yes"] and input(f"Erase {whom} for ever? Type yes: ") != "yes":
            raise CommandError("Nothing was erased.")
        try:
            told = _forget(options["addresses"])
        except InvalidRecipient as error:
            raise CommandError(str(error)) from None
        for done in told:
            self.stdout.write(str(done))
        if left := " ".join(done.left for done in told if done.left):
            raise CommandError(left)


def _forget(addresses: list[str]) -> list[Forgotten]:
    """Erase, and go on while messages to them are on their way; no longer than a minute."""
    until = time.monotonic() + WAIT_SECONDS
    told = forget_recipients(addresses, by=BY, now=timezone.now())
    while any(done.on_their_way for done in told) and time.monotonic() < until:
        time.sleep(PAUSE_SECONDS)
        told = [
            replace(
                done,
                messages=before.messages + done.messages,
                mentions=before.mentions + done.mentions,
            )
            for before, done in zip(
                told, forget_recipients(addresses, by=BY, now=timezone.now()), strict=True
            )
        ]
    return told
