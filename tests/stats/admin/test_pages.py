"""The pages of figures tell true numbers, to whom they are for, in few statements."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from guard.models import Role
from sending.commands.personal import forget_recipient
from sending.models import (
    Message,
    Priority,
    SendingProfile,
    Status,
    TemplateVersion,
    new_id_in,
    new_message_id,
)
from sending.suppressions import lift, suppress
from stats import rollups
from stats.models import SEPARATOR, Tally
from tests.factories.sending import (
    MessageFactory,
    SenderDomainFactory,
    SendingProfileFactory,
    TemplateFactory,
    TemplateVersionFactory,
)
from tests.factories.tracking import HitFactory, TrackedLinkFactory
from tests.stats.stories import accepted, answered, handed_off
from tracking.events import record_hits
from tracking.models import TrackedLink, Visit
from unsubscribe.commands import unsubscribe
from unsubscribe.models import Unsubscribe

pytestmark = pytest.mark.django_db

MESSAGES = "/admin/sending/message/"
MOST_STATEMENTS = 12
HTML = (
    "<html><body>{{.API.name}} <a href='https://shop.example/{{.API.name}}'>Yours</a>"
    '<a class=x href=https://shop.example/sale>Sale</a> <a href="mailto:a@b.example">Write</a>'
    '<a href="https://shop.example/none">Unread</a></body></html>'
)


@pytest.fixture
def viewer(client: Client) -> Client:
    person = User.objects.create_user("ann", is_staff=True)
    person.groups.add(Group.objects.get(name=Role.VIEWER))
    client.force_login(person)
    return client


@pytest.fixture
def profile() -> SendingProfile:
    profile: SendingProfile = SendingProfileFactory.create(
        api_key__name="Shop",
        template__version__html=HTML,
        track_opens=True,
        track_clicks=True,
    )
    return profile


def shown(client: Client, path: str) -> tuple[Any, str]:
    """Return the context of a page and what a person reads on it; it took few statements."""
    with CaptureQueriesContext(connection) as asked:
        answer = client.get(path)
    assert answer.status_code == 200, path
    assert len(asked) <= MOST_STATEMENTS, [one["sql"][:110] for one in asked]
    html = answer.content.decode()
    return answer.context, re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html)))


def links_of(version: TemplateVersion) -> Sequence[TrackedLink]:
    return [
        TrackedLinkFactory.create(template_version=version, position=place) for place in (1, 2, 3)
    ]


def click(message: Message, link: TrackedLink, **fields: object) -> None:
    """Let somebody click, not so soon after the hand-off that it must be a scanner."""
    hit = {"kind": "clicked", "link": link, "at": timezone.now() - timedelta(seconds=10)}
    record_hits([HitFactory.build(message=message, **hit, **fields)])


# --- Failures ---


def test_failures_stand_alike_together_with_their_share_and_when(
    viewer: Client, profile: SendingProfile
) -> None:
    for name in ("ann", "bob", "cid"):
        words = f"550 5.1.1 <{name}@recipient.example> unknown"
        answered(handed_off(profile), Status.BOUNCED, reason=words)
    answered(handed_off(profile), Status.REJECTED, reason="554 5.7.1 <b>Blocked</b>")
    answered(handed_off(profile), Status.DEFERRED, reason="451 4.3.0 Later")
    rollups.roll()
    context, text = shown(viewer, f"{MESSAGES}failures/")
    final, delays, stopped = (table for _, _, table in context["tables"])
    assert [(row.group.number, row.share) for row in final.rows] == [(3, 0.75), (1, 0.25)]
    assert (final.total, delays.total, stopped.total) == (4, 1, 0)
    hour = timezone.now().replace(minute=0, second=0, microsecond=0)
    assert {row.group.last_at for row in final.rows} <= {hour, hour - timedelta(hours=1)}
    assert "bounced 550 5.1.1 <address> unknown" in text
    assert "75.0 %" in text
    assert "554 5.7.1 <b>Blocked</b>" in text


def test_group_of_failures_shows_its_messages_and_no_others(
    viewer: Client, profile: SendingProfile
) -> None:
    meant = [*handed_off(profile), *handed_off(profile)]
    for message in meant:
        words = f"550 5.1.1 <{message.recipient}> unknown"
        answered([message], Status.BOUNCED, reason=words)
    [other] = answered(handed_off(profile), Status.BOUNCED, reason="550 5.2.1 Disabled")
    rollups.roll()
    context, _ = shown(viewer, f"{MESSAGES}failures/")
    row = context["tables"][0][2].rows[0]
    context, text = shown(viewer, f"{MESSAGES}failures/?{row.query}")
    assert [one.message_id for one in context["failed"]] == [one.id for one in reversed(meant)]
    assert f"550 5.1.1 <{meant[0].recipient}> unknown" in text
    assert other.recipient not in text


def test_failures_are_those_of_the_chosen_key_and_time(
    viewer: Client, profile: SendingProfile
) -> None:
    other = SendingProfileFactory.create()
    answered(handed_off(profile), Status.BOUNCED, reason="550 5.1.1 Mine")
    answered(handed_off(other), Status.BOUNCED, reason="550 5.1.1 Theirs")
    rollups.roll()
    _, text = shown(viewer, f"{MESSAGES}failures/?key={profile.api_key_id}")
    assert "Mine" in text
    assert "Theirs" not in text
    _, text = shown(viewer, f"{MESSAGES}failures/?from=2020-01-01&to=2020-01-31")
    assert "When a server refuses mail for good, its words stand here" in text


@pytest.mark.parametrize("group", ["", "x", SEPARATOR * 3, f"sent{SEPARATOR}{SEPARATOR}"])
def test_group_that_does_not_exist_is_as_if_none_were_asked_for(viewer: Client, group: str) -> None:
    context, _ = shown(viewer, f"{MESSAGES}failures/?group={quote(group)}")
    assert (context["group"], context["failed"]) == (None, [])


# --- When people read ---


def test_hours_of_the_week_are_those_of_the_viewer(
    viewer: Client, profile: SendingProfile, settings: Any
) -> None:
    settings.TIME_ZONE = "Asia/Tokyo"
    tuesday = datetime(2026, 3, 3, 16, tzinfo=UTC)  # 01:00 of the Wednesday in Tokyo
    for value, number in (("opened", 12), ("clicked", 5)):
        Tally.objects.create(
            series=Tally.Series.ACT,
            api_key=profile.api_key,
            began_at=tuesday,
            value=value,
            number=number,
        )
    span = "from=2026-03-01&to=2026-03-10"
    context, text = shown(viewer, f"{MESSAGES}open-times/?{span}")
    cell = dict(context["heat"].days)["Wednesday"][1]
    assert (cell.text, cell.level) == ("12", 5)
    assert cell.tip == "Wednesday, 01:00 to 02:00\n12 opens, 100 % of all"
    assert "Most opens are on Wednesday, 01:00 to 02:00: 12 of 12" in text
    assert "Asia/Tokyo" in text
    context, _ = shown(viewer, f"{MESSAGES}open-times/?{span}&act=clicked")
    assert context["heat"].total == 5


def test_hours_without_any_opening_say_what_to_do(viewer: Client) -> None:
    context, text = shown(viewer, f"{MESSAGES}open-times/?act=x")
    assert context["heat"].is_empty
    assert "Nobody opened anything in this time. Choose a longer one above" in text


# --- A template, its versions and links ---


def test_template_tells_its_versions_keys_and_links(
    viewer: Client, profile: SendingProfile
) -> None:
    template = profile.template
    old = template.current_version
    assert old is not None
    links = links_of(old)
    sent = answered(handed_off(profile, number=4))
    new = TemplateVersionFactory.create(template=template, html=HTML)
    template.current_version = new
    template.save()
    answered(handed_off(profile), Status.BOUNCED, reason="550 5.1.1 No")
    for message in sent[:3]:
        click(message, links[0])
    click(sent[0], links[1])
    click(sent[1], links[1], user_agent="curl/8")
    rollups.roll()
    context, text = shown(viewer, f"/admin/sending/template/{template.pk}/figures/")
    assert [
        (one.number, is_current, totals.sent) for one, is_current, totals in context["versions"]
    ] == [
        (new.number, True, 1),
        (old.number, False, 4),
    ]
    assert [(name, totals.sent) for name, _, totals in context["key_rows"]] == [("Shop", 5)]
    assert context["shown_version"] == old
    assert [(one.position, one.totals.clicks, one.totals.clicked) for one in context["links"]] == [
        (1, 3, 3),
        (2, 1, 1),
        (3, 0, 0),
    ]
    assert [one.share for one in context["links"]] == [0.75, 0.25, 0]
    assert "75.0 %" in text


def test_version_can_be_chosen_and_must_exist(viewer: Client, profile: SendingProfile) -> None:
    template = profile.template
    new = TemplateVersionFactory.create(template=template, html="<p>No link</p>")
    place = f"/admin/sending/template/{template.pk}/figures/"
    context, text = shown(viewer, f"{place}?version={new.number}")
    assert context["shown_version"] == new
    assert "no link to a page of the web" in text
    assert viewer.get(f"{place}?version=99").status_code == 404


def test_mail_with_the_heat_of_its_links_leads_nowhere_and_counts_nothing(
    viewer: Client, profile: SendingProfile
) -> None:
    version = profile.template.current_version
    assert version is not None
    links = links_of(version)
    sent = answered(handed_off(profile, number=2))
    click(sent[0], links[0])
    rollups.roll()
    before = Visit.objects.count()
    place = f"/admin/sending/template/{profile.template_id}/figures/"
    answer = viewer.get(place)
    mail = answer.context["heat_mail"].html
    assert re.findall(r"<a [^>]*href=['\"]?([^'\"> ]*)", mail) == [
        "about:srcdoc#link-1",
        "about:srcdoc#link-2",
        "mailto:a@b.example",
        "about:srcdoc#link-3",
    ]
    assert "<img" not in mail
    assert "1: 1 clicks by people, from 1 messages; 0 by machines" in mail
    assert "frame-src 'none'" in answer["Content-Security-Policy"]
    assert 'sandbox=""' in answer.content.decode()
    assert Visit.objects.count() == before
    # An open page replaces its figures, not the mail that somebody may have scrolled.
    fresh = viewer.get(place, headers={"X-Fragment": "live"})
    assert "<iframe" not in fresh.content.decode()


def test_mail_that_cannot_be_made_says_why(viewer: Client) -> None:
    html = '<a href="https://shop.example/">{{if lt .API.word 3}}{{end}}</a>'
    template = TemplateFactory.create(version__html=html)
    _, text = shown(viewer, f"/admin/sending/template/{template.pk}/figures/")
    assert "The mail cannot be drawn: " in text


def test_template_without_a_version_asks_for_the_first(viewer: Client) -> None:
    template = TemplateFactory.create(version=False)
    _, text = shown(viewer, f"/admin/sending/template/{template.pk}/figures/")
    assert "There is none yet: write the first" in text


def test_link_leads_to_its_mail(viewer: Client) -> None:
    link = TrackedLinkFactory.create()
    answer = viewer.get(f"/admin/tracking/trackedlink/{link.pk}/on-the-mail/")
    version = link.template_version
    assert answer["Location"] == (
        f"/admin/sending/template/{version.template_id}/figures/"
        f"?span=90d&version={version.number}#links"
    )


# --- Who receives, who sends ---


def test_provider_tells_its_figures_domains_and_keys(
    viewer: Client, profile: SendingProfile
) -> None:
    for domain, number in (("gmail.com", 3), ("googlemail.com", 1), ("other.example", 2)):
        answered(handed_off(profile, number=number, recipient=f"a@{domain}"))
    rollups.roll()
    context, _ = shown(viewer, f"{MESSAGES}providers/?span=24h")
    assert [(name, totals.sent) for name, _, totals in context["rows"]] == [
        ("gmail", 4),
        ("other.example", 2),
    ]
    address = context["rows"][0][1]
    context, text = shown(viewer, address)
    assert context["cards"][0].value == "4"
    assert [(name, totals.sent) for name, _, totals in context["part_rows"]] == [
        ("gmail.com", 3),
        ("googlemail.com", 1),
    ]
    assert [(name, totals.sent) for name, _, totals in context["key_rows"]] == [("Shop", 4)]
    assert "other.example" not in text


def test_sender_domain_tells_its_figures_and_leads_to_its_records(
    viewer: Client, profile: SendingProfile
) -> None:
    answered(handed_off(profile, number=2))
    rollups.roll()
    context, _ = shown(viewer, f"{MESSAGES}sender-domains/")
    assert [(name, totals.sent) for name, _, totals in context["rows"]] == [("sender.example", 2)]
    context, text = shown(viewer, context["rows"][0][1])
    assert context["cards"][0].value == "2"
    assert "is not among the sender domains" in text
    domain = SenderDomainFactory.create(domain="sender.example")
    _, text = shown(viewer, f"{MESSAGES}sender-domains/?of=sender.example")
    assert "Records and settings" in text
    answer = viewer.get(f"/admin/sending/senderdomain/{domain.pk}/figures/")
    assert answer["Location"] == f"{MESSAGES}sender-domains/?of=sender.example"


@pytest.mark.parametrize("page", ["providers", "sender-domains", "variants", "tags"])
def test_value_that_nobody_knows_has_nothing(viewer: Client, page: str) -> None:
    context, text = shown(viewer, f"{MESSAGES}{page}/?of=<i>x")
    assert context["cards"][0].value == "0"
    assert "No mail was accepted in this time." in text
    _, text = shown(viewer, f"{MESSAGES}{page}/?span=x&from=y")
    assert re.search("No mail (was accepted in|of) this time", text)


# --- What callers marked their mail with ---


def test_variants_and_tags_have_figures_wherever_their_mail_has(
    viewer: Client, profile: SendingProfile
) -> None:
    batch_id = new_message_id()
    shared = {"batch_id": batch_id, "tags": ["weekly", "<b>"]}
    answered(handed_off(profile, number=3, variant="Short", **shared))
    answered(handed_off(profile, variant="Long"), Status.BOUNCED, reason="550 5.1.1 No")
    rollups.roll()
    context, text = shown(viewer, f"{MESSAGES}variants/")
    assert told(context["rows"]) == [("Short", 3), ("Long", 1)]
    assert "0 % 0.0 to 56.1 %" in text
    context, text = shown(viewer, context["rows"][0][1])
    assert context["cards"][0].value == "3"
    assert told(context["part_rows"]) == [(str(profile.template.current_version), 3)]
    context, _ = shown(viewer, f"{MESSAGES}tags/")
    assert told(context["rows"]) == [("<b>", 3), ("weekly", 3)]
    context, _ = shown(viewer, context["rows"][0][1])
    assert told(context["key_rows"]) == [("Shop", 3)]
    key, template = profile.api_key_id, profile.template_id
    for page in (f"apikeys/apikey/{key}/figures/", f"sending/template/{template}/figures/"):
        answer = viewer.get(f"/admin/{page}")
        assert told(answer.context["variant_rows"]) == [("Short", 3), ("Long", 1)]
        assert "Below each rate" in answer.content.decode()
    context, _ = shown(viewer, f"{MESSAGES}batches/")
    [(name, address, totals)] = context["rows"]
    assert (name.endswith(", Shop"), totals.sent) == (True, 3)
    _, text = shown(viewer, address)
    assert "variant Short , tagged weekly , <b>" in text
    listed = unescape(viewer.get(f"{MESSAGES}?q={batch_id}").content.decode())
    assert listed.count("variant Short, weekly, <b>") == 3
    one = Message.objects.filter(variant="Short").first()
    page = unescape(viewer.get(f"{MESSAGES}{one.pk}/change/").content.decode())
    assert all(word in page for word in (str(batch_id), "Short", "weekly, <b>"))


@pytest.mark.parametrize("given", ["7", "00000000-0000-7000-8000-000000000000"])
def test_batch_that_does_not_exist_says_where_to_find_one(viewer: Client, given: str) -> None:
    _, text = shown(viewer, f"{MESSAGES}batches/?of={given}")
    assert f"No batch that is kept has the id {given}" in text
    assert "See the newest batches" in text


def test_batch_tells_its_links_and_who_unsubscribed(
    viewer: Client, profile: SendingProfile
) -> None:
    sent = answered(handed_off(profile, number=4, batch_id=new_message_id()))
    first, second, _ = links_of(profile.template.current_version)
    for message, link in ((sent[0], second), (sent[1], second), (sent[0], first)):
        click(message, link)
    click(sent[2], first, user_agent="curl/8")
    unsubscribe(sent[3], method=Unsubscribe.Method.ONE_CLICK, now=timezone.now())
    rollups.roll()
    context, text = shown(viewer, f"{MESSAGES}{sent[0].pk}/batch/")
    assert "Unsubscribed 25.0 % 1 of 4" in text
    told_of = [(one.link_id, one.clickers, one.machine_clicks) for one in context["links"]]
    assert told_of == [(second.pk, 2, 0), (first.pk, 1, 1)]


def test_head_of_a_page_names_the_page_and_no_recipient(
    viewer: Client, profile: SendingProfile
) -> None:
    sent = answered(handed_off(profile, number=2, batch_id=new_message_id()))
    assert head(viewer, f"{MESSAGES}{sent[0].pk}/batch/") == "Sending > Messages > Batch of 2"
    assert head(viewer, f"{MESSAGES}variants/") == "Sending > Messages > Variants"
    assert head(viewer, "/admin/apikeys/apikey/") == "API keys"


def head(client: Client, path: str) -> str:
    """Return what the head of a page says where it is."""
    html = client.get(path).content.decode()
    parts = re.findall(r"<(?:a|span)[^>]*tracking-tight[^>]*>(.*?)</(?:a|span)\s*>", html, re.S)
    return " > ".join(unescape(part).strip() for part in parts)


def told(rows: Any) -> list[tuple[str, int]]:
    return [(name, totals.sent) for name, _, totals in rows]


# --- One recipient ---


def test_recipient_tells_everything_that_went_to_an_address_alone(
    viewer: Client, profile: SendingProfile
) -> None:
    [first] = answered(handed_off(profile, recipient="Ann@recipient.example"))
    [second] = answered(
        handed_off(profile, recipient="ann@recipient.example"),
        Status.BOUNCED,
        reason="550 5.1.1 No",
    )
    [other] = answered(handed_off(profile, recipient="bob@recipient.example"))
    record_hits([HitFactory.build(message=first, at=timezone.now() - timedelta(seconds=10))])
    suppress("ann@recipient.example", reason="manual", note="She asked.", now=timezone.now())
    lift("ann@recipient.example", by="ann", note="Again.")
    suppress("@recipient.example", reason="blacklisted", note="All of them.", now=timezone.now())
    context, text = shown(viewer, f"{MESSAGES}recipient/?address=ann@recipient.example")
    assert {one.id for one in context["found"].messages} >= {second.id}
    assert other.recipient not in text
    assert "bounced" in text
    assert "550 5.1.1 No" in text
    assert "She asked." in text
    assert "All of them." in text
    by_message, _ = shown(viewer, f"{MESSAGES}{first.id}/to-recipient/")
    assert {one.id for one in by_message["found"].messages} == {first.id, second.id}
    assert by_message["found"].totals.opened == 1
    assert [one.kind for one, _, _ in by_message["events"]].count("opened") == 1


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("", "Give an address above"),
        ("nobody@recipient.example", "Nothing is known of nobody@recipient.example"),
        ("<b>", "<b> is no address"),
    ],
)
def test_recipient_who_is_not_known_has_nothing(viewer: Client, address: str, said: str) -> None:
    _, text = shown(viewer, f"{MESSAGES}recipient/?address={quote(address)}")
    assert said in text


def test_recipient_who_was_forgotten_has_nothing(viewer: Client, profile: SendingProfile) -> None:
    address = "ann@recipient.example"
    [message] = answered(handed_off(profile, recipient=address))
    suppress(address, reason="unsubscribed", now=timezone.now())
    forget_recipient(address, by="ann", now=timezone.now())
    _, text = shown(viewer, f"{MESSAGES}recipient/?address={address}")
    assert f"Nothing is known of {address}" in text
    message.refresh_from_db()
    for place in (f"recipient/?address={message.recipient}", f"{message.id}/to-recipient/"):
        context, text = shown(viewer, f"{MESSAGES}{place}")
        assert context["found"] is None
        assert "Who this was is forgotten" in text


# --- One batch ---


def batch_of(profile: SendingProfile, *statuses: Status, **fields: Any) -> list[Message]:
    shared = {"profile": profile, "batch_id": new_message_id(), "priority": Priority.BATCH}
    return [MessageFactory.create(status=one, **shared | fields) for one in statuses]


def test_batch_tells_how_far_it_is_and_when_it_ends(
    viewer: Client, profile: SendingProfile
) -> None:
    now = timezone.now()
    done = batch_of(
        profile, *[Status.SENT] * 6, handed_off_at=now - timedelta(seconds=30), opened_at=now
    )
    shared = {"profile": profile, "priority": Priority.BATCH, "batch_id": done[0].batch_id}
    for words in ("550 5.1.1 <a@b.example> no", "550 5.1.1 <c@d.example> no"):
        MessageFactory.create(status=Status.BOUNCED, reason=words, **shared)
    MessageFactory.create(status=Status.QUEUED, **shared)
    MessageFactory.create(status=Status.DEFERRED, reason="451 4.3.0 Later", **shared)
    batch_of(profile, Status.SENT)
    at_the_same_moment = new_id_in(done[0].pk)
    MessageFactory.create(id=at_the_same_moment, profile=profile, status=Status.SENT)
    context, text = shown(viewer, f"{MESSAGES}{done[0].pk}/batch/")
    by_id, _ = shown(viewer, f"{MESSAGES}batches/?of={done[0].batch_id}")
    assert by_id["batch"].totals == context["batch"].totals
    batch = context["batch"]
    assert (batch.totals.accepted, batch.settled, batch.deferred) == (10, 8, 1)
    assert (batch.totals.opened, batch.totals.sent) == (6, 8)
    assert batch.per_minute in range(6, 14)
    assert batch.seconds_left
    assert "8 of 10 settled (80.0 %)" in text
    assert "2 bounced 550 5.1.1 <address> no" in text
    assert "1 deferred 451 4.3.0 Later" in text


def test_batch_keeps_its_marks_though_its_first_recipient_was_forgotten(
    viewer: Client, profile: SendingProfile
) -> None:
    batch_id = new_message_id()
    ids = sorted(new_id_in(batch_id) for _ in range(3))
    for place, identity in enumerate(ids):
        fields = {"recipient": f"ann{place}@recipient.example", "variant": "Short", "tags": ["x"]}
        accepted(profile, id=identity, batch_id=batch_id, **fields)
    for place in range(3):
        context, text = shown(viewer, f"{MESSAGES}batches/?of={batch_id}")
        assert context["original"].id == ids[place]
        assert "variant Short , tagged x" in text
        Message.objects.filter(pk=ids[place]).update(status=Status.FAILED, next_attempt_at=None)
        forget_recipient(f"ann{place}@recipient.example", by="me", now=timezone.now())
    context, _ = shown(viewer, f"{MESSAGES}batches/?of={batch_id}")
    assert context["original"].id == ids[0]


def test_message_that_was_accepted_by_itself_has_no_batch(
    admin_client: Client, profile: SendingProfile
) -> None:
    [single] = accepted(profile)
    assert admin_client.get(f"{MESSAGES}{single.pk}/batch/").status_code in (403, 404)
    page = admin_client.get(f"{MESSAGES}{single.pk}/change/").content.decode()
    assert f"{single.pk}/batch/" not in page
    assert f"{single.pk}/to-recipient/" in page
    [many] = batch_of(profile, Status.SENT)
    for place in (
        f"apikeys/apikey/{profile.api_key_id}/figures/",
        f"sending/message/{many.pk}/to-recipient/",
    ):
        assert f"{many.pk}/batch/" in admin_client.get(f"/admin/{place}").content.decode()
    page = admin_client.get(f"{MESSAGES}{many.pk}/change/").content.decode()
    assert f"{many.pk}/batch/" in page


def test_person_without_a_role_sees_none_of_the_pages(client: Client) -> None:
    client.force_login(User.objects.create_user("ann", is_staff=True))
    pages = ("failures", "open-times", "providers", "sender-domains", "recipient")
    for page in (*pages, "variants", "tags", "batches"):
        assert client.get(f"{MESSAGES}{page}/").status_code == 403, page
