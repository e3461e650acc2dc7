"""Somebody asks what is known of them, and to be forgotten: nothing is found, and no mail goes."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings as configured
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from guard.models import Alert
from sending import ledger, screening
from sending.commands import accept_message
from sending.commands.personal import forget_recipient
from sending.delivery import deliver_due
from sending.errors import InvalidRecipient
from sending.models import Message, Route, SendingProfile, Status, Stream, Suppression
from sending.pseudonyms import is_pseudonym, pseudonym
from sending.suppressions import lift, suppress
from stats import rollups
from stats.rollups.roller import roll
from tests.factories.apikeys import key_with_secret
from tests.factories.facts import FactFactory
from tests.factories.sending import MessageFactory, SendingProfileFactory, TemplateFactory
from tests.factories.tracking import HitFactory
from tests.sink import Sink
from tracking import drainer, spool
from tracking.drainer import drain
from tracking.events import record_hits
from tracking.hits import Record
from tracking.models import Visit
from unsubscribe import tokens

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.integration]

LOCAL = "annabella.quux"
ANN = f"{LOCAL}@recipient.example"
AGENT = "Mozilla/5.0 (Quuxfone 7)"
IP = "203.0.113.77"
TEMPLATE = '<html><body>Hello {{.API.name}} <a href="https://shop.example/">shop</a></body></html>'
# What people wrote to configure this installation names no recipient.
CONFIGURED = {
    "apikeys", "auth", "contenttypes", "sessions", "sending.FallbackRoute", "sending.Limit",
    "sending.DailyCount", "sending.RecipientDomain", "sending.SenderDomain", "sending.SlowDown",
    "sending.SendingProfile", "sending.Template", "sending.TemplateVersion", "sending.WarmUp",
    "tracking.TrackedLink", "tracking.Segment", "unsubscribe.PageWording", "guard.RoleGrant",
    "guard.AlertChannel", "guard.RecoveryCode", "guard.SecondFactor",
}  # fmt: skip


class Story:
    """Somebody to whom everything happened that can happen."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.key, self.secret = key_with_secret()
        SendingProfileFactory.create(
            api_key=self.key,
            route=None,
            template=TemplateFactory.create(version__html=TEMPLATE),
            stream=Stream.BULK,
            has_unsubscribe_link=True,
            track_opens=True,
            track_clicks=True,
        )

    def send(self, recipient: str, **attribs: str) -> Message:
        return accept_message(key=self.key, recipient=recipient, attribs=attribs)

    def batch(self, *recipients: str, key: str) -> Any:
        return Client(headers={"X-API-Key": self.secret, "Idempotency-Key": key}).post(
            "/api/batch_mail/api/batch_send",
            {"recipients": recipients},
            content_type="application/json",
        )

    def happen(self) -> None:
        """Deliver, open, click, bounce, complain, unsubscribe; and be named elsewhere."""
        self.sink.replies[f"{LOCAL.upper()}@recipient.example"] = (
            f"452 4.2.2 The mailbox of {LOCAL} <{ANN}> is full"
        )
        arrived = self.send(ANN, name="Annabella Quux", mail=ANN)
        deferred = self.send(ANN.upper())
        deliver_due()
        for link in links_in(self.sink):
            Client(headers={"User-Agent": AGENT}, REMOTE_ADDR=IP).get(link)
        told = f"550 5.1.1 {LOCAL}: user unknown, said {ANN}"
        record_hits([HitFactory.create(message=arrived, ip=IP, user_agent=AGENT)])
        ledger.report([FactFactory.create(message=arrived, status=Status.BOUNCED, detail=told)])
        Client().post(f"/u/{tokens.make(arrived.id)}", {"List-Unsubscribe": "One-Click"})
        suppress(
            ANN,
            reason=Suppression.Reason.HARD_BOUNCE,
            now=timezone.now(),
            source=deferred,
            note=told,
        )
        lift(ANN, reason=Suppression.Reason.HARD_BOUNCE, note=f"{LOCAL} called")
        assert self.batch(ANN, "bob@recipient.example", key="once").status_code == 200
        others = self.send("carl@recipient.example", friend=f"Write to {ANN.title()}!")
        deliver_due()
        assert Message.objects.get(pk=others.pk).status == Status.SENT
        write_down_elsewhere(arrived)


def write_down_elsewhere(message: Message) -> None:
    LogEntry.objects.create(
        user=get_user_model().objects.create_superuser("owner"),
        content_type=ContentType.objects.get_for_model(Message),
        object_repr=str(message),
        action_flag=CHANGE,
        change_message=f"Looked for {ANN}.",
    )
    Alert.objects.create(
        kind=Alert.Kind.REFUSALS,
        subject="everybody",
        text=f"So it is with <{ANN}>, to={ANN}, and bounce+{ANN.replace('@', '=')}@list.example.",
        first_at=timezone.now(),
        last_at=timezone.now(),
    )


def links_in(sink: Sink) -> list[str]:
    html = sink.messages[0].get_body(("html",)).get_content()
    return [
        link.removeprefix("http://testserver") for link in re.findall(r'"(http\S+/t/\S+)"', html)
    ]


def found_in_database(*needles: str) -> list[str]:
    """Look into every column of every table that there is, whatever Django knows of it."""
    found = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')
            names = [column[0] for column in cursor.description]
            for row in cursor.fetchall():
                for name, value in zip(names, row, strict=True):
                    text = str(value).casefold()
                    found += [f"{table}.{name}: {text}" for one in needles if one in text]
    return found


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    caplog.set_level(logging.INFO)
    yield caplog
    assert LOCAL not in caplog.text.casefold()


@pytest.fixture
def story(route: Route, sink: Sink, home: Path) -> Story:
    return Story(sink)


def test_nothing_is_found_afterwards_and_the_counts_stay(
    story: Story, home: Path, logged: pytest.LogCaptureFixture, capsys: Any
) -> None:
    story.happen()
    drain(home)
    roll()
    before = list(rollup_rows())
    statuses = sorted(Message.objects.values_list("status", flat=True))
    assert found_in_database(LOCAL)
    assert found_in_database(IP)

    call_command("forget_recipient", ANN.title(), yes=True)

    assert LOCAL not in capsys.readouterr().out.casefold()
    assert found_in_database(LOCAL, "annabella", IP, "quuxfone") == []
    in_files = [path for path in home.rglob("*") if path.is_file() and LOCAL in path.read_text()]
    assert in_files == []
    now = sorted(Message.objects.values_list("status", flat=True))
    assert [one for one in now if one != "suppressed"] == [
        one for one in statuses if one not in ("deferred", "suppressed")
    ]
    assert Visit.objects.exists()
    call_command("relabel_events")
    roll()
    assert rollups.check(watch=lambda done, total: None) == []
    assert list(rollup_rows(without=("waiting", "suppressed", "deferrals"))) == [
        {
            name: value
            for name, value in row.items()
            if name not in ("waiting", "suppressed", "deferrals")
        }
        for row in before
    ]


def rollup_rows(without: tuple[str, ...] = ()) -> Iterator[dict[str, Any]]:
    model = apps.get_model("stats.Hour")
    names = [one.attname for one in model._meta.concrete_fields if one.attname not in without]
    yield from model.objects.order_by("pk").values(*names)


def test_no_outlives_the_erasure_at_every_door(story: Story, sink: Sink) -> None:
    story.happen()
    waiting = story.send("dora@recipient.example")
    story.send("emil@recipient.example")
    Message.objects.filter(pk=waiting.pk).update(recipient=ANN)
    forget_recipient("dora@recipient.example", by="ann", now=timezone.now())
    done = forget_recipient(ANN, by="ann", now=timezone.now())
    assert done.left == ""

    assert Message.objects.get(pk=waiting.pk).status == Status.SUPPRESSED
    refused = Client(headers={"X-API-Key": story.secret}).post(
        "/api/batch_mail/api/send", {"recipient": ANN}, content_type="application/json"
    )
    assert refused.status_code == 422
    assert "unsubscribed" in refused.json()["msg"]
    in_batch = story.batch(ANN, "fred@recipient.example", key="twice").json()["data"]
    assert [one["recipient"] for one in in_batch["rejected"]] == [ANN]
    assert found_in_database(LOCAL) == [
        one for one in found_in_database(LOCAL) if one.startswith("sending_storedanswer")
    ]
    transactional = screening.passed_over(Stream.TRANSACTIONAL, heeds_unsubscribes=False)
    verdict = screening.decide([ANN], despite=transactional)[ANN]
    assert verdict.reason == Suppression.Reason.FORGOTTEN
    SendingProfile.objects.update(stream=Stream.TRANSACTIONAL, heeds_unsubscribes=False)
    sent = len(sink.recipients)
    MessageFactory.create(recipient=ANN.title(), profile=story.key.sending_profile)
    deliver_due()
    assert LOCAL not in str(sink.recipients[sent:]).casefold()
    assert "fred@recipient.example" in sink.recipients[sent:]


def test_what_comes_later_of_somebody_who_was_forgotten_says_nothing_of_them(
    story: Story, home: Path
) -> None:
    story.happen()
    message = Message.objects.filter(recipient=ANN).earliest("id")
    spool.writer.append(Record(message.id, 0, timezone.now(), IP, AGENT, "GET", True, "").encoded())
    (home / drainer.REJECTED).write_text(f"Hit({message.id!r}, {IP!r})\nHit(another)\n")
    forget_recipient(ANN, by="ann", now=timezone.now())

    assert drain(home) > 0
    told = f"552 5.2.2 {LOCAL} is full"
    ledger.report([FactFactory.create(message=message, status=Status.COMPLAINED, detail=told)])
    Client().post(f"/u/{tokens.make(message.id)}", {"List-Unsubscribe": "One-Click"})
    assert found_in_database(LOCAL, IP, "quuxfone") == []
    assert (home / drainer.REJECTED).read_text() == "Hit(another)\n"
    message.refresh_from_db()
    assert message.status == Status.COMPLAINED
    assert message.events.get(kind="complained").detail == "552 5.2.2"


def test_everything_is_exported_as_json(story: Story, home: Path, capsys: Any) -> None:
    story.happen()
    drain(home)
    call_command("export_recipient", ANN.title())
    told = json.loads(capsys.readouterr().out)

    assert {one["recipient"].casefold() for one in told["messages"]} == {ANN}
    arrived = told["messages"][0]
    assert arrived["attribs"]["name"] == "Annabella Quux"
    assert "bounced" in [one["kind"] for one in arrived["events"]]
    assert told["messages"][1]["attempts"][0]["reply_code"] == 452
    assert {one["reason"] for one in told["suppressions"]} == {"unsubscribed"}
    assert told["lifted_suppressions"][0]["lift_note"] == f"{LOCAL} called"
    assert AGENT in [one["user_agent"] for one in told["opens_and_clicks"]]
    assert told["unsubscribes"][0]["method"] == "one-click"
    assert {one["table"] for one in told["mentions"]} == {
        "admin.LogEntry", "guard.Alert", "sending.Message", "sending.StoredAnswer",
    }  # fmt: skip

    forget_recipient(ANN, by="ann", now=timezone.now())
    call_command("export_recipient", ANN)
    told = json.loads(capsys.readouterr().out)
    assert told["messages"] == told["mentions"] == []
    assert {one["address"] for one in told["suppressions"]} == {pseudonym(ANN)}


def test_what_is_being_handed_over_is_not_hidden(route: Route) -> None:
    message = MessageFactory.create(status=Status.SENDING, handed_off_at=timezone.now())
    done = forget_recipient(message.recipient, by="ann", now=timezone.now())
    assert (done.on_their_way, done.messages) == (1, 0)
    Message.objects.update(status=Status.SENT, lease_until=None)
    again = forget_recipient(message.recipient, by="ann", now=timezone.now())
    assert again.left == ""
    assert is_pseudonym(Message.objects.get().recipient)


def test_mail_to_another_that_still_waits_keeps_its_words_and_is_told(route: Route) -> None:
    MessageFactory.create(attribs={"friend": ANN})
    longer = MessageFactory.create(status=Status.SENT, attribs={"friend": f"an-{ANN}"})
    done = forget_recipient(ANN, by="ann", now=timezone.now())
    assert (done.named_in_queue, done.mentions) == (1, 0)
    longer.refresh_from_db()
    assert longer.attribs == {"friend": f"an-{ANN}"}


def test_several_are_forgotten_by_one_look_at_each_table(capsys: Any) -> None:
    message = MessageFactory.create(status=Status.SENT, recipient=ANN.upper())
    bob = MessageFactory.create(status=Status.SENT, recipient="bob@recipient.example")
    carl = MessageFactory.create(status=Status.SENT, attribs={"by": f"{bob.recipient} and {ANN}"})
    with CaptureQueriesContext(connection) as asked:
        call_command("forget_recipient", ANN, bob.recipient, yes=True)
    said = capsys.readouterr().out.splitlines()
    assert [line.partition(" were")[0] for line in said] == ["1 messages"] * 2
    for one in (message, bob, carl):
        one.refresh_from_db()
    assert [one.recipient for one in (message, bob)] == [
        pseudonym(ANN),
        pseudonym("bob@recipient.example"),
    ]
    assert carl.attribs == {"by": "[forgotten] and [forgotten]"}
    searched = [one["sql"] for one in asked if "annabella" in one["sql"].casefold()]
    events = [sql for sql in searched if 'FROM "sending_event"' in sql]
    assert len(events) == 1


def test_what_was_on_its_way_in_is_forgotten_however_it_is_written(monkeypatch: Any) -> None:
    MessageFactory.create(status=Status.SENT, recipient=ANN)
    withdraw = ledger.withdraw

    def accept_another(recipients: Any) -> int:
        if Message.objects.count() == 1:
            MessageFactory.create(status=Status.SENT, recipient=ANN.upper())
        return withdraw(recipients)

    monkeypatch.setattr(ledger, "withdraw", accept_another)
    assert forget_recipient(ANN, by="ann", now=timezone.now()).messages == 2
    assert found_in_database(LOCAL) == []


def test_an_address_beyond_ascii_is_found_in_any_case() -> None:
    MessageFactory.create(status=Status.SENT, recipient="JÜRGEN@recipient.example")
    assert forget_recipient("jürgen@recipient.example", by="ann", now=timezone.now()).messages == 1
    assert "rgen@recipient" not in str(found_in_database("rgen@recipient"))


def test_what_is_no_address_and_who_does_not_confirm_changes_nothing(monkeypatch: Any) -> None:
    with pytest.raises(CommandError, match="no @"):
        call_command("forget_recipient", "ann", yes=True)
    with pytest.raises(CommandError, match="no @"):
        call_command("export_recipient", "ann")
    with pytest.raises(InvalidRecipient, match="pseudonym"):
        forget_recipient(pseudonym(ANN), by="ann", now=timezone.now())
    monkeypatch.setattr("builtins.input", lambda question: "no")
    with pytest.raises(CommandError, match="Nothing"):
        call_command("forget_recipient", ANN)
    assert not Suppression.objects.exists()


def test_every_table_is_searched_anonymised_or_holds_nobody() -> None:
    searched = {one.partition(":")[0] for one in configured.PERSONAL_TEXTS}
    anonymised = {"tracking.Visit", "unsubscribe.Unsubscribe", "sending.BulkPlace"}
    counted = {
        "stats.Hour", "stats.Day", "stats.Tally", "stats.Progress", "stats.CountedHits",
        "tracking.Relabelled",
    }  # fmt: skip
    unknown = [
        model._meta.label
        for model in apps.get_models()
        if model._meta.label not in searched | anonymised | counted | CONFIGURED
        and model._meta.app_label not in CONFIGURED
    ]
    assert unknown == [], "Say where the personal data in these goes."
