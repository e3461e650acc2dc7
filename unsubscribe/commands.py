"""Carry out a recipient's no, and take it back when they say so."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import QuerySet

from sending import ledger
from sending.addresses import parse_address
from sending.models import Message, Suppression
from sending.suppressions import lift_many, suppress
from unsubscribe import tokens
from unsubscribe.models import Unsubscribe

RECIPIENT = "the recipient"
# Whoever has an old mail of somebody else's must not be able to take back their no.
UNDO_WITHIN = timedelta(hours=24)


def unsubscribe(message: Message, *, method: Unsubscribe.Method, now: datetime) -> bool:
    """Send this recipient nothing more; return whether that is new. Idempotent, all or nothing."""
    with transaction.atomic():
        said, is_new = Unsubscribe.objects.get_or_create(
            message=message, defaults={"method": method, "created_at": now}
        )
        if said.resubscribed_at is not None:
            is_new = True
            said.method, said.created_at, said.resubscribed_at = method, now, None
            said.save(update_fields=["method", "created_at", "resubscribed_at"])
        suppress(
            parse_address(message.recipient).suppression_key,
            reason=Suppression.Reason.UNSUBSCRIBED,
            now=now,
            source=message,
            by=RECIPIENT,
        )
        if is_new:
            _tell(message, "unsubscribed", now=now, detail=f"By {method.label}.")
    return is_new


def unsubscribe_by_mail(local_part: str, *, now: datetime) -> bool:
    """Carry out a mail to the unsubscribe address; return whether its token is one of ours.

    `local_part`: what stands before the ``@`` of the address that the mail was sent to. Only the
    token counts: whom the mail claims to be from can be forged by anybody. Idempotent.
    """
    message_id = tokens.read_local_part(local_part)
    message = Message.objects.filter(pk=message_id).first() if message_id else None
    if message is None:
        return False
    unsubscribe(message, method=Unsubscribe.Method.MAIL, now=now)
    return True


def can_resubscribe(message: Message, *, now: datetime) -> bool:
    """Tell whether the no that stands was said by this mail's link, and a short while ago."""
    return _own_order(message).filter(created_at__gt=now - UNDO_WITHIN).exists()


def resubscribe(message: Message, *, now: datetime) -> bool:
    """Take back the no that was said by this mail's link; return whether there was one."""
    with transaction.atomic():
        own = _own_order(message).filter(created_at__gt=now - UNDO_WITHIN)
        if not lift_many(own, now=now, by=RECIPIENT, note="Taken back on the page."):
            return False
        Unsubscribe.objects.filter(message=message).update(resubscribed_at=now)
        _tell(message, "subscribed", now=now, detail="The recipient took the unsubscribe back.")
    return True


def tell_why(message: Message, *, why: Unsubscribe.Why) -> None:
    """Keep the reason that somebody chose after the no."""
    Unsubscribe.objects.filter(message=message).update(why=why)


def _own_order(message: Message) -> QuerySet[Suppression]:
    return Suppression.objects.filter(
        address=parse_address(message.recipient).suppression_key,
        reason=Suppression.Reason.UNSUBSCRIBED,
        source_message=message,
    )


def _tell(message: Message, kind: str, *, now: datetime, detail: str) -> None:
    """Write it into the history of the message; it changes no status."""
    fact = ledger.Fact(message_id=message.id, kind=kind, occurred_at=now, key="", detail=detail)
    ledger.report([fact])
