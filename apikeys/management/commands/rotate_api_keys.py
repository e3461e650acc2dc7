"""Give API keys new secrets from the command line."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from apikeys import tokens
from apikeys.commands import rotate_key
from apikeys.errors import KeyRevoked
from apikeys.models import ApiKey, live_prefixes

MAX_GRACE_HOURS = 366 * 24
MAX_DAYS = 36_500


class Command(BaseCommand):
    """Print name, prefix and new secret of each key on stdout, and progress on stderr.

    Each key is rotated and printed before the next one, so an interruption loses no secret.
    """

    help = "Rotate the secret of one API key, or of all with an old one; the old ones keep a grace."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("--key", metavar="NAME_OR_PREFIX_OR_ID", help="rotate this key")
        which.add_argument(
            "--older-than-days",
            type=int,
            metavar="N",
            help="rotate all keys whose newest secret is older",
        )
        parser.add_argument(
            "--grace-hours",
            type=int,
            default=24,
            metavar="H",
            help="how long the old secret keeps working (default: 24; 0: not at all)",
        )
        parser.add_argument("--dry-run", action="store_true", help="only say what would happen")
        parser.add_argument("--json", action="store_true", help="print one JSON object a line")

    def handle(self, *args: Any, **options: Any) -> None:
        """Rotate the keys; raise CommandError with the reason when an option is wrong."""
        now = timezone.now()
        hours = _in_range(options["grace_hours"], option="--grace-hours", most=MAX_GRACE_HOURS)
        if options["key"] is not None:
            keys = [_the_key(options["key"], now=now)]
        else:
            days = options["older_than_days"]
            _in_range(days, option="--older-than-days", most=MAX_DAYS)
            keys = _keys_older_than(timedelta(days=days), now=now)
        is_dry_run = options["dry_run"]
        for key in keys:
            self.stderr.write(f'{"Would rotate" if is_dry_run else "Rotating"} "{key.name}".')
            if not is_dry_run:
                self._rotate(key, grace=timedelta(hours=hours), as_json=options["json"])
        self.stderr.write(f"{len(keys)} key(s){' would be' if is_dry_run else ''} rotated.")

    def _rotate(self, key: ApiKey, *, grace: timedelta, as_json: bool) -> None:
        try:
            secret = rotate_key(key=key, grace=grace, now=timezone.now())
        except KeyRevoked as error:
            raise CommandError(str(error)) from error
        token = tokens.split(secret)
        row = {"name": key.name, "prefix": token.prefix if token else "", "secret": secret}
        line = json.dumps({"id": str(key.pk), **row}) if as_json else "\t".join(row.values())
        self.stdout.write(line)
        self.stdout.flush()


def _in_range(value: int, *, option: str, most: int) -> int:
    if not 0 <= value <= most:
        raise CommandError(f"{option} is {value}; it must be between 0 and {most}.")
    return value


def _the_key(text: str, *, now: datetime) -> ApiKey:
    matching = list(ApiKey.objects.matching(text).prefetch_related("secrets")[:100])
    keys = [key for key in matching if key.revoked_at is None]
    if not matching:
        raise CommandError(f'No API key has the name, the prefix or the id "{text}".')
    if not keys:
        raise CommandError(str(KeyRevoked(matching[0].name)))
    if len(keys) > 1:
        prefixes = [live_prefixes(key.secrets.all(), now=now)[0] for key in keys]
        raise CommandError(
            f'{len(keys)} API keys are named "{text}". Name one by its prefix: '
            f"{', '.join(prefixes)}."
        )
    return keys[0]


def _keys_older_than(age: timedelta, *, now: datetime) -> list[ApiKey]:
    newest = {"secrets__expires_at": None, "secrets__revoked_at": None}
    old = ApiKey.objects.rotatable(now=now).filter(**newest, secrets__created_at__lt=now - age)
    return list(old.order_by("created_at", "pk"))
