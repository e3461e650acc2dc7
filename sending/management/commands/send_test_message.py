"""Send one real message, and tell what became of it."""

from __future__ import annotations

import json
import sys
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from apikeys.errors import ApiKeyError
from apikeys.models import ApiKey
from sending import commands
from sending.delivery import deliver_due
from sending.errors import SendingError
from sending.models import Message, Status, Template, TemplateVersion

NAME, SLUG = "Test messages", "test-messages"
SUBJECT = "A test message from BillionMail"
WAIT_SECONDS = 5.0
POLL_SECONDS = 0.1
SENT = (Status.SENT, Status.DELIVERED)


class Command(BaseCommand):
    """Send one message through the whole path: acceptance, queue, delivery, ledger."""

    help = (
        "Sends one real message and waits for its outcome. With --html or --text it stores that "
        f'as a version of the template "{NAME}"; else the key\'s own template is sent. '
        "Exit code 1 when the message was not sent."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare what can be given."""
        parser.add_argument("--to", required=True, metavar="ADDRESS")
        parser.add_argument("--html", metavar="FILE", help="HTML part; - reads standard input")
        parser.add_argument("--text", metavar="FILE", help="text part; - reads standard input")
        parser.add_argument("--subject", help=f'with --html or --text; default "{SUBJECT}"')
        parser.add_argument("--attribs", metavar="JSON", default="{}", help='{"name": "Ann"}')
        parser.add_argument(
            "--key", metavar="NAME", help="an API key by name, id or prefix; default: the only one"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Accept, wait, tell."""
        key = _key(options["key"])
        version = _version(options)
        try:
            message = commands.accept_message(
                key=key,
                recipient=options["to"],
                attribs=_attribs(options["attribs"]),
                version=version,
            )
        except (SendingError, ApiKeyError) as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"Accepted as {message.id}.")
        self._tell(_outcome(message))

    def _tell(self, message: Message) -> None:
        attempt = message.attempts.select_related("route").order_by("-id").first()
        if attempt is not None:
            words = " ".join(
                part for part in (str(attempt.reply_code or ""), attempt.enhanced_status) if part
            )
            self.stdout.write(f"{attempt.route} answered: {words} {attempt.reply_text}".rstrip())
        told = f"Status: {message.status}."
        if message.status in SENT:
            self.stdout.write(self.style.SUCCESS(told))
            return
        raise CommandError(f"{told} {message.reason}".rstrip())


def _outcome(message: Message) -> Message:
    """Return the message once it is settled; deliver here when no worker does."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        message.refresh_from_db()
        if message.status not in (Status.QUEUED, Status.SENDING):
            return message
        time.sleep(POLL_SECONDS)
    if message.status == Status.QUEUED:
        deliver_due()
        message.refresh_from_db()
    return message


def _key(name: str | None) -> ApiKey:
    """Return the key of this name, or the only active one that has something to send."""
    able = ApiKey.objects.filter(is_active=True, sending_profile__isnull=False)
    found = list((able.matching(name) if name else able).order_by("name")[:20])
    if len(found) == 1:
        return found[0]
    choices = ", ".join(able.order_by("name").values_list("name", flat=True)[:20])
    if not choices:
        raise CommandError(
            "No active API key has anything to send. Create one in the dashboard, with a template "
            "and a sender address."
        )
    if not name:
        raise CommandError(f"There are several API keys: choose one with --key. {choices}")
    wrong = "names several API keys" if found else "names no active API key that can send"
    raise CommandError(f"--key {name!r} {wrong}. There are: {choices}")


def _version(options: dict[str, Any]) -> TemplateVersion | None:
    """Store the wording that was given; return None when none was."""
    if not options["html"] and not options["text"]:
        if options["subject"]:
            raise CommandError("--subject needs --html or --text: a template has its own subject.")
        return None
    wording = {
        "subject": options["subject"] or SUBJECT,
        "html": _read(options["html"]),
        "text": _read(options["text"]),
    }
    template = Template.objects.filter(slug=SLUG).first()
    try:
        if template is not None:
            return commands.save_version(template=template, by=None, **wording)
        created = commands.create_template(name=NAME, slug=SLUG, by=None, **wording)
    except ValidationError as error:
        faults = "; ".join(
            f"{name}: {' '.join(texts)}" for name, texts in error.message_dict.items()
        )
        raise CommandError(f"The wording cannot be used. {faults}") from None
    return created.current_version


def _read(name: str | None) -> str:
    if not name:
        return ""
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{name} cannot be read: {error}") from None


def _attribs(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise CommandError(f"--attribs is not JSON: {error}") from None
