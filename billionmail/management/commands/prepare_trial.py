"""Fill an empty installation with what a first mail needs."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction
from django.utils import timezone

from apikeys.commands import create_key
from apikeys.models import ApiKey
from sending.commands import create_template
from sending.models import Route, SendingProfile, Template

ADMIN = "admin"
KEY_NAME = "First key"
SENDER = "hello@example.com"
TEMPLATE_NAME = "Welcome"
SUBJECT = "Welcome{{if .API.name}}, {{.API.name}}{{end}}!"
HTML = """<!doctype html>
<html>
<body style="margin:0;background:#f3f4f6;font-family:Helvetica,Arial,sans-serif;color:#111827">
<table role="presentation" width="100%" cellpadding="0" cellspacing="0"><tr>
<td align="center" style="padding:32px 16px">
<table role="presentation" width="560" cellpadding="0" cellspacing="0"
 style="max-width:560px;background:#ffffff;border-radius:8px"><tr><td style="padding:32px">
<h1 style="margin:0 0 16px;font-size:24px">Hello {{.API.name | default "there"}},</h1>
<p style="font-size:16px;line-height:1.5">this is the first mail of your BillionMail.
It was accepted, stored, rendered and handed over; the
<a href="https://example.com/dashboard">dashboard</a> shows every step.</p>
<p style="font-size:16px;line-height:1.5">It went to {{.Subscriber.Email}}.</p>
</td></tr></table></td></tr></table>
</body>
</html>
"""


class Command(BaseCommand):
    """Create the first user, route, template and key; do nothing where that was done before."""

    help = (
        "Prepare a trial installation (used by `make run`): an admin user with a random password, "
        "a route to the local mail catcher, a sample template and a sample key. The credentials "
        "are kept in DATA_DIR/first-run.json. Running it again changes nothing."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare `--show`."""
        parser.add_argument("--show", action="store_true", help="Print how to sign in and send.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Prepare what is missing."""
        path = settings.DATA_DIR / "first-run.json"
        facts = json.loads(path.read_text()) if path.exists() else _prepare(path)
        current = facts | _addresses()
        if current != facts:  # another PORT than before
            _write(path, current)
        if options["show"]:
            self.stdout.write(_welcome(current))
            self.stdout.flush()  # also where the output goes to a file


def _prepare(path: Path) -> dict[str, str]:
    """Create all of it or nothing, so that a start that was interrupted can be repeated."""
    with transaction.atomic():
        password = secrets.token_urlsafe(15)
        people = get_user_model().objects
        user, _ = people.get_or_create(
            username=ADMIN, defaults={"is_staff": True, "is_superuser": True}
        )
        user.set_password(password)
        user.save()
        key, secret = create_key(name=_unused_name(), now=timezone.now(), created_by=user)
        SendingProfile.objects.create(
            api_key=key,
            template=_template(user),
            sender_address=SENDER,
            sender_name="BillionMail",
            has_unsubscribe_link=True,
        )
        _route_to_catcher()
        facts = {"admin_username": ADMIN, "admin_password": password, "api_key": secret}
    _write(path, facts | _addresses())
    return facts | _addresses()


def _unused_name() -> str:
    number = ApiKey.objects.filter(name__startswith=KEY_NAME).count()
    return f"{KEY_NAME} {number + 1}" if number else KEY_NAME


def _template(user: Any) -> Template:
    existing = Template.objects.filter(name=TEMPLATE_NAME).first()
    return existing or create_template(
        name=TEMPLATE_NAME, slug="welcome", subject=SUBJECT, html=HTML, text="", by=user
    )


def _route_to_catcher() -> None:
    if not Route.objects.filter(is_default=True).exists():
        Route.objects.create(
            name="Local mail catcher",
            host="127.0.0.1",
            port=settings.MAIL_CATCHER_PORT,
            tls=Route.Tls.NONE,
            is_default=True,
        )


def _addresses() -> dict[str, str]:
    return {"url": settings.PUBLIC_URL, "inbox_url": settings.PUBLIC_URL + "/inbox/"}


def _write(path: Path, facts: dict[str, str]) -> None:
    order = ("url", "admin_username", "admin_password", "api_key", "inbox_url")
    draft = path.with_suffix(".tmp")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump({name: facts[name] for name in order}, file, indent=2)
        file.write("\n")
    draft.replace(path)


def _welcome(facts: dict[str, str]) -> str:
    return f"""
BillionMail is running.

  Dashboard   {facts["url"]}/admin/
  User        {facts["admin_username"]}
  Password    {facts["admin_password"]}
  Caught mail {facts["inbox_url"]}   (nothing leaves this machine)

Send a first mail:

  curl -X POST '{facts["url"]}/api/batch_mail/api/send' \\
    -H 'X-API-Key: {facts["api_key"]}' \\
    -H 'Content-Type: application/json' \\
    -d '{{"recipient": "you@example.com", "attribs": {{"name": "Ann"}}}}'
{_simulator()}
Ctrl-C stops it. State is kept in {settings.DATA_DIR}.
"""


def _simulator() -> str:
    if not settings.SIMULATOR_DOMAIN:
        return ""
    return f"""
Or to bounce@, complaint@, open@, click@ or unsubscribe@{settings.SIMULATOR_DOMAIN}: what they are
called happens, and the dashboard shows it.
"""
