"""Say what needs a hand, in words: what the first page of the admin shows before all figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.urls import reverse
from django.utils import timezone

from apikeys.models import ApiKey
from guard.alerts import open_alerts
from guard.models import Alert
from sending.commands.domains import is_dkim_published
from sending.dns_records import State, is_reserved
from sending.models import Route, SenderDomain
from sending.routes import keys_without_route
from stats.queries import Queue, Totals
from stats.words import duration

EXPIRY_NEAR = timedelta(days=14)
# From this part of a limit on, it is near.
NEAR = 0.6
OVERDUE_SECONDS = 300
MOST_ALERTS = 10
MOST_NAMES = 3
# Said below in words that are newer than the alert's.
SAID_OTHERWISE = (Alert.Kind.ROUTE, Alert.Kind.KEY_PAUSED)
# States of a DNS record that nobody has to do anything about.
FINE = (State.FOUND, State.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to see to: what, what was said or can be done, and where."""

    title: str
    text: str
    address: str
    link: str
    is_urgent: bool = True


def items(
    *, keys: Sequence[ApiKey], lately: Mapping[UUID, Totals], queue: Queue, now: datetime
) -> list[Item]:
    """Return everything that needs a hand, the urgent first."""
    found = [
        *_of_routes(keys, now=now),
        *_of_keys(keys, now=now),
        *_of_queue(queue),
        *_of_limits(keys, lately),
        *_of_domains(),
        *_of_alerts(),
    ]
    return sorted(found, key=lambda one: not one.is_urgent)


def _of_routes(keys: Sequence[ApiKey], *, now: datetime) -> Iterator[Item]:
    routes = list(Route.objects.filter(is_active=True).order_by("name"))
    if not any(route.is_default for route in routes):
        in_use = [key for key in keys if key.is_active]
        yield from _of_no_way(keys_without_route(in_use), is_any_active=bool(routes))
    for route in routes:
        address = reverse("admin:sending_route_change", args=[route.pk])
        if route.is_paused():
            text = (
                f"since {_at(route.paused_at)}: its next hop refuses us. It said: "
                f"\N{LEFT DOUBLE QUOTATION MARK}{route.paused_reason}"
                "\N{RIGHT DOUBLE QUOTATION MARK} Mail takes the key's next route, or waits."
            )
            yield Item(f"{route.name} is paused", text, address, "Correct or resume the route")
        elif route.is_down(now=now):
            text = (
                f"\N{LEFT DOUBLE QUOTATION MARK}{route.down_reason}"
                f"\N{RIGHT DOUBLE QUOTATION MARK} It is tried again from {_at(route.down_until)}."
            )
            title = f"{route.name} could not be used a moment ago"
            yield Item(title, text, address, "See the route", is_urgent=False)


def _of_no_way(lost: Sequence[ApiKey], *, is_any_active: bool) -> Iterator[Item]:
    """Say which keys cannot send; where no route is active, nobody could."""
    if is_any_active and not lost:
        return
    names = ", ".join(key.name for key in lost[:MOST_NAMES])
    others = f" and {len(lost) - MOST_NAMES:,} more" if len(lost) > MOST_NAMES else ""
    whose = f"These keys have no active route of their own either: {names}{others}." if lost else ""
    yield Item(
        "No way out:",
        f"there is no active default route. {whose}".strip(),
        reverse("admin:sending_route_changelist"),
        "Add or enable a default route",
    )


def _of_keys(keys: Sequence[ApiKey], *, now: datetime) -> Iterator[Item]:
    for key in keys:
        if key.revoked_at or not key.is_active:
            continue
        address = reverse("admin:apikeys_apikey_change", args=[key.pk])
        if key.paused_reason:
            title = f"The key {key.name} is paused"
            yield Item(title, key.paused_reason, address, "Look, then resume the key")
        if key.expires_at is None or not now - EXPIRY_NEAR < key.expires_at < now + EXPIRY_NEAR:
            continue
        if key.expires_at <= now:
            title, text = f"The key {key.name} has expired", "Its requests are refused"
        else:
            left = duration((key.expires_at - now).total_seconds())
            title, text = f"The key {key.name} expires in {left}", "Its requests are refused then"
        text = f"{text}: {_at(key.expires_at)}."
        yield Item(title, text, address, "Change the expiry", is_urgent=key.expires_at <= now)


def _of_queue(queue: Queue) -> Iterator[Item]:
    messages = reverse("admin:sending_message_changelist")
    if queue.overdue_seconds is not None and queue.overdue_seconds >= OVERDUE_SECONDS:
        yield Item(
            f"Mail has been due for {duration(queue.overdue_seconds)}",
            "and nobody has taken it. Is a worker running, and is it fast enough?",
            f"{messages}?status__exact=queued",
            "See what waits",
        )
    if queue.lapsed_seconds is not None:
        yield Item(
            f"A worker has held mail for {duration(queue.lapsed_seconds)} too long",
            "It ended without giving the mail back. Any running worker takes it up.",
            f"{messages}?status__exact=sending",
            "See what is held",
        )
    if queue.unknown:
        yield Item(
            f"Of {queue.unknown:,} message{'' if queue.unknown == 1 else 's'} nobody knows "
            "whether they arrived",
            "The connection broke after the whole mail was written. Send again what may arrive "
            "twice, or mark it delivered.",
            f"{messages}?status__exact=unknown",
            "Decide",
            is_urgent=False,
        )


def _of_limits(keys: Sequence[ApiKey], lately: Mapping[UUID, Totals]) -> Iterator[Item]:
    hours = settings.KEY_PAUSE_HOURS
    for key in keys:
        totals = lately.get(key.pk, Totals())
        tried = totals.sent + totals.failed + totals.unknown
        if key.paused_reason or key.revoked_at or tried < settings.KEY_PAUSE_MIN_MESSAGES:
            continue
        for what, number, percent in (
            ("bounced", totals.bounced, settings.KEY_PAUSE_BOUNCED_PERCENT),
            ("were complained of", totals.complained, settings.KEY_PAUSE_COMPLAINED_PERCENT),
        ):
            if number * 100 > NEAR * percent * tried:
                yield Item(
                    f"The key {key.name} is near a limit",
                    f"{number:,} of {tried:,} messages of the last {hours} hours {what} "
                    f"({number * 100 / tried:.2f} %); it is paused beyond {percent:g} %.",
                    reverse("admin:apikeys_apikey_figures", args=[key.pk]) + "?span=24h",
                    "See its figures",
                )


def _of_domains() -> Iterator[Item]:
    domains = SenderDomain.objects.filter(is_active=True).order_by("domain")
    for domain in domains.only("domain", "findings", "is_dkim_active"):
        if domain.findings:
            yield from _of_records(domain)
        if not is_reserved(domain.domain):
            yield from _of_first_steps(domain)


def _of_records(domain: SenderDomain) -> Iterator[Item]:
    address = reverse("admin:sending_senderdomain_change", args=[domain.pk])
    states = {one["purpose"]: one["state"] for one in domain.findings}
    failed = [purpose for purpose, state in states.items() if state == State.FAILED]
    wrong = [purpose for purpose, state in states.items() if state not in (*FINE, State.FAILED)]
    if wrong:
        yield Item(
            f"The DNS of {domain.domain} is not as it has to be",
            f"Not right: {', '.join(wrong)}. Receivers may refuse its mail or hide it.",
            address,
            "See the records",
            is_urgent=any(not _may_be_meant(purpose, states[purpose]) for purpose in wrong),
        )
    elif failed:
        again = " It is tried again within the hour." if settings.MX_LOOKUPS else ""
        yield Item(
            f"The DNS of {domain.domain} could not be asked",
            f"Nobody knows of: {', '.join(failed)}. Do the name servers of this machine and of "
            f"the domain answer?{again}",
            address,
            "See what they said",
            is_urgent=False,
        )


def _may_be_meant(purpose: str, state: str) -> bool:
    """Tell whether a record may lead to another server on purpose: such as a relay's SPF."""
    return state == State.DIFFERENT and purpose not in ("DKIM", "DMARC")


def _of_first_steps(domain: SenderDomain) -> Iterator[Item]:
    """Say what a domain lacks of what its owner has to do once."""
    address = reverse("admin:sending_senderdomain_change", args=[domain.pk])
    if not domain.findings:
        yield Item(
            f"The DNS of {domain.domain} was never checked",
            "Publish its records, check them, then let its mail be signed with DKIM.",
            address,
            "See the records, then check",
            is_urgent=False,
        )
    elif not domain.is_dkim_active:
        first = (
            "Switch on"
            if is_dkim_published(domain)
            else "Publish its DKIM record, check it, and switch on"
        )
        yield Item(
            f"Mail from {domain.domain} is not signed with DKIM",
            f"{first} \N{LEFT DOUBLE QUOTATION MARK}Sign with DKIM\N{RIGHT DOUBLE QUOTATION MARK}, "
            "unless the relay or provider that it leaves by signs it. Large receivers refuse bulk "
            "mail without a signature.",
            address,
            "See the domain",
            is_urgent=False,
        )


def _of_alerts() -> Iterator[Item]:
    alerts = open_alerts(limit=MOST_ALERTS + 1)
    for alert in alerts[:MOST_ALERTS]:
        if alert.kind not in SAID_OTHERWISE:
            yield Item(
                f"{alert.get_kind_display()}: {alert.subject}",
                alert.text,
                reverse("admin:guard_alert_change", args=[alert.pk]),
                "See, then acknowledge",
                is_urgent=False,
            )
    if len(alerts) > MOST_ALERTS:
        yield Item(
            "More alerts are open",
            "These are the newest.",
            reverse("admin:guard_alert_changelist") + "?acknowledged_at__isempty=1",
            "See all",
            is_urgent=False,
        )


def _at(moment: datetime | None) -> str:
    return f"{timezone.localtime(moment):%Y-%m-%d %H:%M %Z}" if moment else ""
