"""Take the demonstration away: exactly its own rows, whatever else is here."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final
from uuid import UUID

from django.db import models, transaction

from apikeys.models import RefusedAccess
from billionmail.demo import cast
from billionmail.demo.cast import SPARE, WORDINGS
from billionmail.demo.scene import DOMAINS, ROUTES, demo_keys
from billionmail.demo.surroundings import STRANGERS
from guard.models import Alert
from sending.models import (
    Attempt,
    Event,
    FallbackRoute,
    LiftedSuppression,
    Message,
    RecipientDomain,
    ReportedBounce,
    Route,
    SenderDomain,
    SendingProfile,
    Suppression,
    Template,
)
from stats import rollups
from tracking.models import Relabelled, Visit
from unsubscribe.models import Unsubscribe

MESSAGES_AT_ONCE = 5_000
# Rows that hang on a message, without a constraint that would need another order.
OF_MESSAGES: Final[tuple[type[models.Model], ...]] = (
    Visit, Event, Attempt, Unsubscribe, ReportedBounce, Relabelled,
)  # fmt: skip

# Told how many messages are gone.
Watch = Callable[[int], None]


def remove(*, watch: Watch) -> list[str]:
    """Remove everything of the demonstration; return what stays because something real uses it.

    May be repeated, also after it ended early: the keys, which mark the rest, go last.
    """
    keys = demo_keys()
    if not keys:
        return []
    _remove_messages([key.pk for key in keys], watch=watch)
    with transaction.atomic():
        rollups.forget_keys([key.pk for key in keys])
        Suppression.objects.filter(by=cast.MARK).delete()
        LiftedSuppression.objects.filter(by=cast.MARK).delete()
        RefusedAccess.objects.filter(key=None, address__in=STRANGERS).delete()
        Alert.objects.filter(kind=Alert.Kind.ROUTE, subject=SPARE).delete()
        for key in keys:
            key.delete()
        return _remove_scene()


def _remove_messages(key_ids: Collection[UUID], *, watch: Watch) -> None:
    """Remove the messages of these keys with all that hangs on them, some at a time."""
    gone = 0
    for key_id in key_ids:
        newest = Message.objects.filter(api_key=key_id).order_by("-id").values_list("id", flat=True)
        while ids := list(newest[:MESSAGES_AT_ONCE]):
            with transaction.atomic():
                rollups.forget_messages(ids)
                for model in OF_MESSAGES:
                    rows = model._default_manager.filter(message__in=ids)
                    rows._raw_delete(rows.db)
                # Whatever else refers to them, such as suppressions, Django knows.
                Message.objects.filter(id__in=ids).delete()
            gone += len(ids)
            watch(gone)


def _remove_scene() -> list[str]:
    """Remove routes, domains and templates, but for those that a real key uses by now."""
    profiles, fallbacks = SendingProfile.objects, FallbackRoute.objects
    stays: list[str] = []
    RecipientDomain.objects.filter(domain__in=[one.domain for one in cast.MAILBOXES]).delete()
    for route in Route.objects.filter(name__in=ROUTES):
        is_used = profiles.filter(route=route).exists() or fallbacks.filter(route=route).exists()
        stays += _remove_unless(route, is_used=is_used, what="route")
    for domain in SenderDomain.objects.filter(domain__in=DOMAINS):
        is_used = profiles.filter(sender_domains=domain).exists()
        stays += _remove_unless(domain, is_used=is_used, what="sender domain")
    for template in Template.objects.filter(slug__in=[one.slug for one in WORDINGS]):
        versions = template.versions.values("pk")
        is_used = profiles.filter(template=template).exists()
        is_used = is_used or Message.objects.filter(template_version__in=versions).exists()
        if not is_used:
            Template.objects.filter(pk=template.pk).update(current_version=None)
        stays += _remove_unless(template, is_used=is_used, what="template")
    return stays


def _remove_unless(row: models.Model, *, is_used: bool, what: str) -> list[str]:
    if is_used:
        return [f"{what} {row}"]
    row.delete()
    return []
