"""Send one mail in each task, over a connection of its own, as Django does by default."""

from __future__ import annotations

from celery import shared_task
from django.core.mail import EmailMultiAlternatives
from django.template import Context, Engine
from django.utils import timezone

from tests.bench import mail
from tests.bench.yardsticks.naive.models import Mail

SUBJECT, HTML, TEXT = (
    Engine().from_string(word(mail.DJANGO_PLACES)) for word in (mail.subject, mail.html, mail.text)
)


@shared_task
def send(mail_id: int) -> None:
    """Render the mail, send it, write down that it was sent."""
    row = Mail.objects.get(pk=mail_id)
    values = Context({**row.attribs, "email": row.recipient})
    message = EmailMultiAlternatives(
        SUBJECT.render(values), TEXT.render(values), "shop@sender.example", [row.recipient]
    )
    message.attach_alternative(HTML.render(values), "text/html")
    message.send()
    row.sent_at = timezone.now()
    row.save(update_fields=["sent_at"])
