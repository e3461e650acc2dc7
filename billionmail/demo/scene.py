"""Make what stands around the mail: routes, sender domains, templates, keys in different states."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from apikeys.commands import issue_secret
from apikeys.models import ApiKey
from billionmail.demo import cast
from billionmail.demo.cast import PARTS, PROVIDER, RELAY, SPARE, WORDINGS, Part
from billionmail.demo.history import Sender
from sending.commands import create_domain, create_template, save_version
from sending.models import (
    FallbackRoute,
    RecipientDomain,
    Route,
    SenderDomain,
    SendingProfile,
    Template,
    TemplateVersion,
)
from tracking.links import links_of

ROUTES = (RELAY, PROVIDER, SPARE)
DOMAINS = tuple(dict.fromkeys(part.sender.partition("@")[2] for part in PARTS))
PAUSED = "46 of its last 540 messages bounced for good (8.52 %, allowed are 5 %)."
REFUSED = "535 5.7.8 Authentication credentials invalid"


def demo_keys() -> list[ApiKey]:
    """Return the keys of the demonstration that are here."""
    return list(ApiKey.objects.filter(pk__in=[part.id for part in PARTS]).order_by("name"))


def newest_at() -> datetime:
    """Return until when the made-up data goes."""
    return max(key.last_used_at for key in demo_keys() if key.last_used_at is not None)


def taken_names() -> list[str]:
    """Return what is here already under the name of something of the demonstration."""
    keys = ApiKey.objects.filter(name__in=[part.name for part in PARTS])
    slugs = [wording.slug for wording in WORDINGS]
    found = [f"the key {name!r}" for name in keys.values_list("name", flat=True)]
    templates = Template.objects.filter(slug__in=slugs) | Template.objects.filter(
        name__in=[wording.name for wording in WORDINGS]
    )
    found += [f"the template {name!r}" for name in templates.values_list("name", flat=True)]
    routes = Route.objects.filter(name__in=ROUTES)
    found += [f"the route {name!r}" for name in routes.values_list("name", flat=True)]
    domains = SenderDomain.objects.filter(domain__in=DOMAINS)
    return found + [f"the sender domain {one}" for one in domains.values_list("domain", flat=True)]


def set_scene(*, begin: datetime, now: datetime) -> list[Sender]:
    """Make everything; return who sends, in the order of the parts."""
    routes = _routes(now=now)
    for domain in DOMAINS:
        create_domain(domain=domain)
    RecipientDomain.objects.bulk_create(
        [
            RecipientDomain(domain=one.domain, provider=one.provider, looked_up_at=now)
            for one in cast.MAILBOXES
        ],
        ignore_conflicts=True,
    )
    versions = {wording.slug: _versions(wording, begin=begin, now=now) for wording in WORDINGS}
    return [
        _sender(part, versions[part.template], routes=routes, begin=begin, now=now)
        for part in PARTS
    ]


def _routes(*, now: datetime) -> dict[str, Route]:
    """Make the routes; by none of them anything leaves this machine."""
    simulated = Route.Kind.SIMULATOR
    routes = {name: Route.objects.create(name=name, kind=simulated) for name in ROUTES}
    Route.objects.filter(name=SPARE).update(
        paused_at=now - timedelta(hours=3), paused_reason=REFUSED
    )
    return routes


def _versions(
    wording: cast.Wording, *, begin: datetime, now: datetime
) -> Sequence[tuple[int, str, tuple[int, ...]]]:
    """Make a template with all its versions; return the id, subject and links of each."""
    html = wording.html()
    first, *others = wording.subjects
    template = create_template(
        name=wording.name, slug=wording.slug, subject=first, html=html, text="", by=None
    )
    for subject in others:
        save_version(template=template, subject=subject, html=html, text="", by=None)
    versions = list(TemplateVersion.objects.filter(template=template).order_by("number"))
    for place, version in enumerate(versions):
        made_at = begin + (now - begin) * place / len(versions)
        TemplateVersion.objects.filter(pk=version.pk).update(created_at=made_at)
    Template.objects.filter(pk=template.pk).update(created_at=begin)
    return [
        (version.pk, version.subject, tuple(link.pk for link in links_of(version)))
        for version in versions
    ]


def _sender(
    part: Part,
    versions: Sequence[tuple[int, str, tuple[int, ...]]],
    *,
    routes: dict[str, Route],
    begin: datetime,
    now: datetime,
) -> Sender:
    key = _key(part, begin=begin, now=now)
    profile = SendingProfile.objects.create(
        api_key=key,
        template=Template.objects.get(slug=part.template),
        sender_address=part.sender,
        sender_name=part.sender_name,
        stream=part.stream,
        has_unsubscribe_link=part.unsubscribed > 0,
        track_clicks=part.tracks_clicks,
        route=routes[part.route],
    )
    profile.sender_domains.set(SenderDomain.objects.filter(domain=part.sender.partition("@")[2]))
    FallbackRoute.objects.create(api_key=key, route=routes[SPARE], position=1)
    return Sender(part, tuple(versions), routes[part.route].pk, part.route == PROVIDER)


def _key(part: Part, *, begin: datetime, now: datetime) -> ApiKey:
    ended_at = now - timedelta(days=part.active_days[1])
    key = ApiKey.objects.create(
        pk=part.id,
        name=part.name,
        networks=list(part.networks),
        quota_per_day=part.quota_per_day,
        created_at=begin - timedelta(days=1),
        last_used_at=ended_at - timedelta(minutes=4),
        last_used_address="192.0.2.10",
        expires_at=now + timedelta(days=6) if part.state == "expires" else None,
        paused_reason=PAUSED if part.state == "paused" else "",
        revoked_at=ended_at if part.state == "revoked" else None,
        is_active=part.state != "revoked",
    )
    issue_secret(key=key, now=begin)
    return key
