"""Make one object of each model that has pages."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.models import ContentType
from django.utils import timezone

from apikeys.models import RefusedAccess
from guard.models import Alert, AlertChannel
from hygiene.models import Run
from sending import outages
from sending.models import LiftedSuppression, Limit, Route, SlowDown, Status, Suppression, WarmUp
from sending.suppressions import lift
from tests.factories.apikeys import ApiKeyFactory
from tests.factories.sending import (
    EventFactory,
    MessageFactory,
    RouteFactory,
    SenderDomainFactory,
    SuppressionFactory,
    TemplateFactory,
)
from tests.factories.tracking import TrackedLinkFactory
from unsubscribe.models import PageWording


def paused_route() -> Route:
    route = RouteFactory.create()
    outages.pause(route, reason="535 no", now=timezone.now())
    return route


def lifted() -> LiftedSuppression:
    SuppressionFactory.create(address="was@recipient.example")
    lift("was@recipient.example", by="ann", note="She asked.")
    return LiftedSuppression.objects.get()


def log_entry() -> LogEntry:
    return LogEntry.objects.create(
        user=User.objects.create_user("logged"),
        content_type=ContentType.objects.get_for_model(User),
        object_repr="users",
        action_flag=CHANGE,
        change_message="Did it.",
    )


MAKERS: dict[str, Callable[[], Any]] = {
    "admin.logentry": log_entry,
    "apikeys.apikey": ApiKeyFactory.create,
    "apikeys.refusedaccess": lambda: RefusedAccess.objects.create(
        bucket_at=timezone.now(), address="192.0.2.1", reason="unknown", count=3
    ),
    "auth.group": lambda: Group.objects.create(name="a group"),
    "auth.user": lambda: User.objects.create_user("somebody"),
    "guard.alertchannel": lambda: AlertChannel.objects.create(
        name="Pager", kind="webhook", url="http://127.0.0.1:9/"
    ),
    "guard.alert": lambda: Alert.objects.create(
        kind=Alert.Kind.REFUSALS,
        subject="everybody",
        text="Many.",
        first_at=timezone.now(),
        last_at=timezone.now(),
    ),
    "hygiene.run": lambda: Run.objects.create(
        source=Run.Source.STORED, state=Run.State.CHECKED, created_at=timezone.now()
    ),
    "sending.event": EventFactory.create,
    "sending.liftedsuppression": lifted,
    "sending.limit": lambda: Limit.objects.create(messages=10),
    "sending.message": lambda: MessageFactory.create(status=Status.QUEUED),
    "sending.route": paused_route,
    "sending.senderdomain": SenderDomainFactory.create,
    "sending.slowdown": lambda: SlowDown.objects.create(
        provider="gmail", per_second=1.0, full_per_second=5.0, changed_at=timezone.now()
    ),
    "sending.suppression": lambda: SuppressionFactory.create(reason=Suppression.Reason.MANUAL),
    "sending.template": TemplateFactory.create,
    "sending.warmup": lambda: WarmUp.objects.create(
        sender_domain="sender.example", start_date=timezone.now().date(), days=[1]
    ),
    "tracking.trackedlink": TrackedLinkFactory.create,
    "unsubscribe.pagewording": lambda: PageWording.objects.create(
        sender_domain=SenderDomainFactory.create()
    ),
}


def one_of_each(labels: Iterable[str]) -> dict[str, Any]:
    """Return an object of each model, by its label."""
    return {label: MAKERS[label]() for label in labels}
