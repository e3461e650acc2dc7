"""Print everything that is stored about an address."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.serializers.json import DjangoJSONEncoder

from sending.commands.personal import export_recipient
from sending.errors import InvalidRecipient


class Command(BaseCommand):
    """Print what is stored, as JSON."""

    help = (
        "Prints as JSON everything that is stored about an address: messages with their attempts "
        "and history, opens and clicks, suppressions, bounces, unsubscribes, and texts elsewhere "
        "that name it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the address."""
        parser.add_argument("address")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print."""
        try:
            told = export_recipient(options["address"])
        except InvalidRecipient as error:
            raise CommandError(str(error)) from None
        text = json.dumps(told, cls=DjangoJSONEncoder, ensure_ascii=False, indent=2)
        self.stdout.write(text)
