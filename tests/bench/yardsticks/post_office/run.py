"""Queue mails and send them, in the process of `manage.py shell`."""

from __future__ import annotations

import time

from django.core.management import call_command
from post_office import mail as post_office
from post_office.models import STATUS, Email, EmailTemplate

from tests.bench import mail


def run(number: int, *, processes: int) -> None:
    """Queue with `mail.send`, send with `send_queued_mail`; print the seconds that each took."""
    Email.objects.all().delete()
    template, _ = EmailTemplate.objects.get_or_create(
        name="offer",
        defaults={
            "subject": mail.subject(mail.DJANGO_PLACES),
            "content": mail.text(mail.DJANGO_PLACES),
            "html_content": mail.html(mail.DJANGO_PLACES),
        },
    )
    began = time.monotonic()
    for each in range(number):
        recipient = f"r{each}@recipient.example"
        post_office.send(
            recipient,
            "shop@sender.example",
            template=template,
            context={**mail.VALUES, "code": each, "email": recipient},
            render_on_delivery=True,
        )
    queued = time.monotonic()
    call_command("send_queued_mail", processes=processes)
    sent = time.monotonic()
    if Email.objects.filter(status=STATUS.sent).count() != number:
        raise SystemExit("django-post_office did not send all mails.")
    print(queued - began, sent - queued)
