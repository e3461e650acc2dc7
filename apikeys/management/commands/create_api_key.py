"""Create an API key from the command line."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from apikeys import tokens
from apikeys.commands import create_key
from apikeys.models import ApiKey, Scope

MAX_DAYS = 36_500


class Command(BaseCommand):
    """Print the secret of a new key on stdout, once, and everything else on stderr."""

    help = "Create an API key and print its secret, which is not shown again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--name", required=True, help="who uses the key")
        parser.add_argument(
            "--scope",
            action="append",
            choices=Scope.values,
            metavar="SCOPE",
            help=f"what the key may do: {', '.join(Scope.values)}; may be repeated (default: send)",
        )
        parser.add_argument(
            "--network",
            action="append",
            default=[],
            metavar="CIDR",
            help="address or network it is used from; may be repeated (default: everywhere)",
        )
        parser.add_argument("--expires-in-days", type=int, metavar="N", help="(default: never)")
        parser.add_argument("--json", action="store_true", help="print one JSON object instead")

    def handle(self, *args: Any, **options: Any) -> None:
        """Create the key; raise CommandError with the reason when an option is wrong."""
        now = timezone.now()
        days = options["expires_in_days"]
        if days is not None and not 1 <= days <= MAX_DAYS:
            raise CommandError(f"--expires-in-days is {days}; it must be between 1 and {MAX_DAYS}.")
        try:
            key, secret = create_key(
                name=options["name"],
                scopes=options["scope"] or [Scope.SEND],
                networks=options["network"],
                expires_at=now + timedelta(days=days) if days else None,
                now=now,
            )
        except ValidationError as error:
            raise CommandError(_one_line(error)) from error
        self.stderr.write(f'Created the API key "{key.name}". Its secret is not shown again.')
        self.stdout.write(_as_json(key, secret=secret) if options["json"] else secret)


def _as_json(key: ApiKey, *, secret: str) -> str:
    token = tokens.split(secret)
    return json.dumps(
        {
            "id": str(key.pk),
            "name": key.name,
            "prefix": token.prefix if token else "",
            "secret": secret,
            "scopes": key.scopes,
            "networks": key.networks,
            "expires_at": key.expires_at.isoformat() if key.expires_at else None,
        }
    )


def _one_line(error: ValidationError) -> str:
    return " ".join(
        f"{field}: {' '.join(messages)}" for field, messages in error.message_dict.items()
    )
