"""Carry out a recipient's no, and take it back when they say so."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import QuerySet

from sending import ledger
from sending.models import LiftedSuppression, Message, Suppression
from sending.suppressions import key_of, lift_many, suppress
from unsubscribe import tokens
from unsubscribe.models import Unsubscribe

RECIPIENT = "the recipient"
TAKEN_BACK = "Taken back on the page."
# Whoever has an old mail of somebody else's must not be able to take back their no.
UNDO_WITHIN = timedelta(hours=24)
# Each leaves rows behind, and a link can be pressed by a program.
MAX_UNDOS = 5


def unsubscribe(message: Message, *, method: Unsubscribe.Method, now: datetime) -> bool:
    """Send this recipient nothing more; return whether that is new. Idempotent, all or nothing."""
    with transaction.atomic():
        ledger.hold([message.id])
        said, is_new = Unsubscribe.objects.get_or_create(
            message=message, defaults={"method": method, "created_at": now}
        )
        if said.resubscribed_at is not None:
            is_new = True
            said.method, said.created_at, said.resubscribed_at = method, now, None
            said.save(update_fields=["method", "created_at", "resubscribed_at"])
        suppress(
            key_of(message.recipient),
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
    """Tell whether the no that stands was said by this mail's link alone, and a short while ago."""
    return _own_order(message, now=now).exists() and not _undid_often(message)


def resubscribe(message: Message, *, now: datetime) -> bool:
    """Take back the no that was said by this mail's link; return whether it could be."""
    if _undid_often(message):
        return False
    with transaction.atomic():
        ledger.hold([message.id])
        if not lift_many(_own_order(message, now=now), now=now, by=RECIPIENT, note=TAKEN_BACK):
            return False
        Unsubscribe.objects.filter(message=message).update(resubscribed_at=now)
        _tell(message, "subscribed", now=now, detail="The recipient took the unsubscribe back.")
    return True


def tell_why(message: Message, *, why: Unsubscribe.Why) -> None:
    """Keep the reason that somebody chose after the no."""
    Unsubscribe.objects.filter(message=message).update(why=why)


def _own_order(message: Message, *, now: datetime) -> QuerySet[Suppression]:
    return Suppression.objects.filter(
        address=key_of(message.recipient),
        reason=Suppression.Reason.UNSUBSCRIBED,
        source_message=message,
        is_repeated=False,
        created_at__gt=now - UNDO_WITHIN,
    )


def _undid_often(message: Message) -> bool:
    ended = LiftedSuppression.objects.filter(
        address=key_of(message.recipient), source_message=message, lift_note=TAKEN_BACK
    )
    return ended.count() >= MAX_UNDOS


def _tell(message: Message, kind: str, *, now: datetime, detail: str) -> None:
    """Write it into the history of the message; it changes no status."""
    fact = ledger.Fact(message_id=message.id, kind=kind, occurred_at=now, key="", detail=detail)
    ledger.report([fact])
