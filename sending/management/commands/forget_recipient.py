"""Erase an address, and see to it that it gets no mail all the same."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from sending.commands.personal import Forgotten, forget_recipient
from sending.errors import InvalidRecipient

WAIT_SECONDS = 60
PAUSE_SECONDS = 1


class Command(BaseCommand):
    """Forget a recipient, after asking."""

    help = (
        "Erases an address from messages, history, opens and clicks, suppressions, bounces, logs "
        "of the dashboard and other texts. Counts stay. A keyed hash stays among the "
        "suppressions, so that the address gets no mail. It cannot be undone."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the address, and whether to ask."""
        parser.add_argument("address")
        parser.add_argument("--yes", action="store_true", help="do not ask")

    def handle(self, *args: Any, **options: Any) -> None:
        """Ask, erase, wait for what is being handed over, tell."""
        if not options["yes"] and input("Erase this recipient for ever? Type yes: ") != "yes":
            raise CommandError("Nothing was erased.")
        try:
            done = _forget(options["address"])
        except InvalidRecipient as error:
            raise CommandError(str(error)) from None
        self.stdout.write(str(done))
        if done.left:
            raise CommandError(done.left)


def _forget(address: str) -> Forgotten:
    """Erase, and go on while a message to the address is on its way; no longer than a minute."""
    until = time.monotonic() + WAIT_SECONDS
    done = forget_recipient(address, by="forget_recipient", now=timezone.now())
    messages, mentions = done.messages, done.mentions
    while done.on_their_way and time.monotonic() < until:
        time.sleep(PAUSE_SECONDS)
        done = forget_recipient(address, by="forget_recipient", now=timezone.now())
        messages, mentions = messages + done.messages, mentions + done.mentions
    return replace(done, messages=messages, mentions=mentions)
