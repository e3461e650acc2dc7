"""Send alerts to the channels: the only writer of AlertNotice.

A notice is written in the transaction that opens its alert, and tried until it is taken or a day
old. It may arrive twice, when a worker ends at the wrong moment: its id says so.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
from datetime import datetime, timedelta
from typing import Any

import requests
from django.conf import settings
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from guard.models import Alert, AlertChannel, AlertNotice
from sending.addresses import InvalidAddress
from sending.errors import TransportError
from sending.system_mail import send_now

log = logging.getLogger(__name__)

# Who holds a notice for longer has ended; both kinds of channel answer or fail before.
HELD = timedelta(minutes=15)
PAUSES = (1, 5, 15, 60, 180, 360, 720)  # minutes after each try
AT_ONCE = 20
WEBHOOK_SECONDS = 10
ANSWER_LENGTH = 500


class NotTaken(Exception):
    """A channel did not take a notice; says why, for people."""


def note(alert: Alert, *, now: datetime) -> None:
    """Let every active channel be told of a new alert."""
    AlertNotice.objects.bulk_create(
        AlertNotice(alert=alert, channel=channel, next_try_at=now)
        for channel in AlertChannel.objects.filter(is_active=True)
    )


def send_due() -> int:
    """Send the notices whose time has come, each by one worker; return how many were taken."""
    taken = 0
    for notice in _claimed(now=timezone.now()):
        taken += _try(notice)
    return taken


def send_test(channel: AlertChannel) -> None:
    """Send an alert about nothing; raises NotTaken with the reason when it does not go through."""
    now = timezone.now()
    alert = Alert(
        kind="test", subject="A test", text="Nothing happened.", first_at=now, last_at=now
    )
    _send(AlertNotice(alert=alert, channel=channel, next_try_at=now))


def _claimed(*, now: datetime) -> list[AlertNotice]:
    with transaction.atomic():
        due = AlertNotice.objects.filter(status=AlertNotice.Status.WAITING, next_try_at__lte=now)
        held = due.select_for_update(skip_locked=True, of=("self",)).order_by("next_try_at")
        notices = list(held.select_related("alert", "channel__route")[:AT_ONCE])
        ids = [notice.pk for notice in notices]
        AlertNotice.objects.filter(pk__in=ids).update(next_try_at=now + HELD)
    return notices


def _try(notice: AlertNotice) -> bool:
    notice.tries += 1
    try:
        _send(notice)
    except NotTaken as error:
        _put_off(notice, why=str(error))
        return False
    notice.status, notice.answer, notice.sent_at = AlertNotice.Status.SENT, "", timezone.now()
    notice.save(update_fields=["status", "tries", "answer", "sent_at"])
    return True


def _put_off(notice: AlertNotice, *, why: str) -> None:
    notice.answer = why[:ANSWER_LENGTH]
    if notice.tries > len(PAUSES):
        notice.status = AlertNotice.Status.FAILED
        log.error("%s was not told of an alert, and will not be: %s", notice.channel, why)
    else:
        notice.next_try_at = timezone.now() + timedelta(minutes=PAUSES[notice.tries - 1])
        log.warning("%s could not be told of an alert; trying again: %s", notice.channel, why)
    notice.save(update_fields=["status", "tries", "answer", "next_try_at"])


def _send(notice: AlertNotice) -> None:
    if notice.channel.kind == AlertChannel.Kind.MAIL:
        _mail(notice)
    else:
        _post(notice)


def _mail(notice: AlertNotice) -> None:
    alert, channel = notice.alert, notice.channel
    try:
        send_now(
            identity=notice.pk,
            sender=channel.sender,
            recipient=channel.recipient,
            subject=f"[BillionMail] {_one_line(f'{alert.get_kind_display()}: {alert.subject}')}",
            text=f"{alert.get_kind_display()}: {alert.subject}\n\n{alert.text}\n\n{_page(alert)}\n",
            route=channel.route,
        )
    except (TransportError, InvalidAddress) as error:
        raise NotTaken(str(error)) from None


def _one_line(text: str) -> str:
    clean = "".join(sign if sign.isprintable() else " " for sign in text)
    return " ".join(clean.split())[:200]


def _post(notice: AlertNotice) -> None:
    """Raise NotTaken unless the other side answers 2xx; redirects are not followed."""
    body = json.dumps(_told(notice)).encode()
    headers = {"Content-Type": "application/json", "User-Agent": "BillionMail"}
    if notice.channel.secret:
        digest = hmac.new(notice.channel.secret.encode(), body, hashlib.sha256).hexdigest()
        headers["X-Signature"] = f"sha256={digest}"
    try:
        with requests.post(
            notice.channel.url,
            data=body,
            headers=headers,
            timeout=WEBHOOK_SECONDS,
            allow_redirects=False,
            stream=True,
        ) as answer:
            status = answer.status_code
    except requests.RequestException as error:
        raise NotTaken(f"The POST failed: {type(error).__name__}.") from None
    if not 200 <= status < 300:
        raise NotTaken(f"The POST was answered with {status}.")


def _told(notice: AlertNotice) -> dict[str, Any]:
    alert = notice.alert
    return {
        "id": str(notice.pk),
        "alert": alert.pk,
        "kind": alert.kind,
        "title": alert.get_kind_display(),
        "subject": alert.subject,
        "text": alert.text,
        "api_key": str(alert.api_key_id) if alert.api_key_id else None,
        "first_at": alert.first_at.isoformat(),
        "url": _page(alert),
    }


def _page(alert: Alert) -> str:
    path = reverse("admin:guard_alert_change", args=[alert.pk]) if alert.pk else "/admin/"
    return settings.PUBLIC_URL.rstrip("/") + path
