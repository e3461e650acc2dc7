"""The command reports first, suppresses when asked to, and takes that back exactly."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from hygiene import cleaning, domains
from hygiene.models import Finding, Kind, Line, Run
from sending.models import (
    LiftedSuppression,
    Message,
    SendingProfile,
    Status,
    Suppression,
    new_message_id,
)
from sending.models.message import Priority
from sending.suppressions import NewOrder, lift, suppress, suppress_many
from tests.dns_server import NameServer
from tests.factories.sending import AttemptFactory, MessageFactory, SendingProfileFactory
from tests.hygiene.pasts import mail

pytestmark = pytest.mark.django_db

LIST = """name,Email
Ann,ann@good.example
Bob,bob@gone.example
Cyd,cyd@null.example
Dan,not an address
Eve,eve@mailinator.com
Fay,info@good.example
Gus,gus@gmial.com
Hal,hal@broken.example
Ida,ida@silent.example
Jon,jon@web.example
Bob again,BOB@gone.example
"""
SAFE = {"bob@gone.example", "cyd@null.example", "not an address", "eve@mailinator.com"}


@pytest.fixture
def profile() -> SendingProfile:
    return SendingProfileFactory.create()


@pytest.fixture(autouse=True)
def small_lots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleaning, "LOT", 2)


@pytest.fixture
def file(tmp_path: Path, name_server: NameServer) -> str:
    for domain in ("mailinator.com", "gmial.com"):
        name_server.publish(domain, "MX", f"10 mx.{domain}.")
    path = tmp_path / "list.csv"
    path.write_text(LIST, encoding="utf-8")
    return str(path)


def run(**options: Any) -> dict[str, Any]:
    return json.loads(text(format="json", **options))


def text(**options: Any) -> str:
    told = io.StringIO()
    call_command("clean_list", stdout=told, stderr=io.StringIO(), no_color=True, **options)
    return told.getvalue()


def numbers(told: dict[str, Any]) -> dict[str, int]:
    return {one["kind"]: one["number"] for one in told["findings"] if one["number"]}


def state_of_the_list() -> list[dict[str, Any]]:
    return list(Suppression.objects.order_by("id").values())


def test_a_dry_run_is_the_default_and_suppresses_nobody(file: str) -> None:
    told = run(csv=file)
    assert told["state"] == "checked"
    assert told["checked"] == 11
    assert numbers(told) == {
        "syntax": 1,
        "no-domain": 1,
        "null-mx": 1,
        "no-mail-host": 1,
        "disposable": 1,
        "role": 1,
        "typo": 1,
    }
    assert {one["kind"] for one in told["findings"] if one["is_applied"]} == {
        "syntax", "no-domain", "null-mx", "disposable",
    }  # fmt: skip
    assert told["effect"]["addresses"] == len(SAFE)
    assert told["unanswered_domains"] == 2
    assert not Suppression.objects.exists()
    assert not Line.objects.exists()


def test_what_the_dns_does_not_answer_is_no_finding(file: str) -> None:
    run(csv=file)
    found = set(Finding.objects.values_list("address", flat=True))
    assert not found & {"hal@broken.example", "ida@silent.example", "ann@good.example"}


def test_a_typo_is_a_suggestion_and_is_applied_on_request_only(file: str) -> None:
    told = run(csv=file, apply=True)
    typo = next(one for one in told["findings"] if one["kind"] == "typo")
    assert typo["examples"][0]["suggestion"] == "gus@gmail.com"
    assert not Suppression.objects.filter(address="gus@gmial.com").exists()

    run(csv=file, apply=True, findings=(Kind.TYPO,))
    assert Suppression.objects.filter(address="gus@gmial.com", reason="invalid").exists()


def test_apply_suppresses_as_invalid_and_names_the_run(file: str) -> None:
    told = run(csv=file, apply=True)
    assert told["state"] == "applied"
    assert told["outcomes"] == {"suppressed": len(SAFE)}
    orders = {order.address: order for order in Suppression.objects.all()}
    assert set(orders) == SAFE
    order = orders["bob@gone.example"]
    assert order.reason == Suppression.Reason.INVALID
    assert order.note == f"Cleaning {told['run']}: no-domain."
    assert order.by == f"clean_list (cleaning {told['run']})"


def test_what_was_previewed_is_applied_without_another_look(
    file: str, name_server: NameServer
) -> None:
    first = run(csv=file)
    name_server.publish("bob.example", "A", "192.0.2.1")
    asked = name_server.asked.total()
    second = run(run=first["run"], apply=True)
    assert second["run"] == first["run"]
    assert name_server.asked.total() == asked
    assert set(Suppression.objects.values_list("address", flat=True)) == SAFE
    with pytest.raises(CommandError, match="cannot be applied"):
        run(run=first["run"], apply=True)


def test_undo_restores_the_list_as_it_was(file: str) -> None:
    now = timezone.now()
    before = now - timedelta(days=3)
    suppress_many(
        [
            NewOrder(address="cyd@null.example", reason=Suppression.Reason.INVALID, by="ann"),
            NewOrder(
                address="eve@mailinator.com",
                reason=Suppression.Reason.INVALID,
                expires_at=now + timedelta(days=3),
            ),
            NewOrder(address="zoe@good.example", reason=Suppression.Reason.UNSUBSCRIBED),
        ],
        now=before,
    )
    as_it_was = state_of_the_list()
    told = run(csv=file, apply=True)
    assert len(state_of_the_list()) == len(as_it_was) + 2

    undone = run(undo=told["run"])
    assert state_of_the_list() == as_it_was
    assert undone["outcomes"] == {"undone": 2}
    with pytest.raises(CommandError, match="cannot be undone"):
        run(undo=told["run"])


def test_a_standing_order_is_neither_changed_nor_taken_back(file: str) -> None:
    first = run(csv=file)
    suppress("bob@gone.example", reason=Suppression.Reason.INVALID, now=timezone.now(), by="ann")
    as_it_was = state_of_the_list()
    told = run(run=first["run"], apply=True)
    assert told["outcomes"] == {"suppressed": 3, "stood": 1}
    run(undo=told["run"])
    assert state_of_the_list() == as_it_was


def test_undo_leaves_what_others_have_touched_and_says_so(file: str, profile: Any) -> None:
    told = run(csv=file, apply=True)
    now = timezone.now()
    lift("bob@gone.example", now=now, by="ann", note="He is back.")
    suppress("bob@gone.example", reason=Suppression.Reason.INVALID, now=now, by="ann")
    suppress("cyd@null.example", reason=Suppression.Reason.INVALID, now=now, by="ann")
    bounced = MessageFactory.create(profile=profile, recipient="eve@mailinator.com")
    suppress("eve@mailinator.com", reason=Suppression.Reason.INVALID, now=now, source=bounced)
    shown = text(undo=told["run"])
    assert "bob@gone.example: The suppression was lifted since." in shown
    assert "cyd@null.example: The suppression was given again since" in shown
    assert "eve@mailinator.com: The suppression was given again since" in shown
    left = set(Suppression.objects.values_list("address", flat=True))
    assert left == {"bob@gone.example", "cyd@null.example", "eve@mailinator.com"}


def test_undo_leaves_a_no_that_came_later(file: str) -> None:
    told = run(csv=file, apply=True)
    suppress("bob@gone.example", reason=Suppression.Reason.UNSUBSCRIBED, now=timezone.now())
    run(undo=told["run"])
    assert [order.reason for order in Suppression.objects.all()] == ["unsubscribed"]
    assert LiftedSuppression.objects.filter(lifted_by="clean_list").count() == len(SAFE)


def test_undo_is_possible_for_thirty_days(file: str) -> None:
    told = run(csv=file, apply=True)
    long_ago = timezone.now() - timedelta(days=31)
    Run.objects.filter(pk=told["run"]).update(applied_at=long_ago)
    with pytest.raises(CommandError, match="more than 30 days ago"):
        run(undo=told["run"])
    assert Suppression.objects.count() == len(SAFE)


def test_an_old_check_is_not_applied(file: str) -> None:
    told = run(csv=file)
    Run.objects.update(checked_at=timezone.now() - timedelta(days=8))
    with pytest.raises(CommandError, match="Check the list anew"):
        run(run=told["run"], apply=True)


def test_text_that_reads_as_a_rule_stops_no_domain(tmp_path: Path, name_server: NameServer) -> None:
    path = tmp_path / "list.csv"
    path.write_text("address\n@good.example\n.good.example\npattern:*a*b*\n", encoding="utf-8")
    told = run(csv=str(path), apply=True)
    assert told["outcomes"] == {"unfit": 3}
    assert not Suppression.objects.exists()


def test_applying_takes_waiting_mail_out_of_the_queue(
    profile: SendingProfile, name_server: NameServer
) -> None:
    MessageFactory.create(profile=profile, recipient="bob@gone.example")
    run(apply=True)
    assert Message.objects.get().status == Status.SUPPRESSED


def test_stored_recipients_are_walked_once_each_in_lots(
    profile: SendingProfile, name_server: NameServer
) -> None:
    for number in range(5):
        for _ in range(3):
            mail(profile, f"p{number}@gone.example", days=1, status=Status.SENT)
    mail(profile, "P4@gone.example", days=1, status=Status.SENT)
    mail(profile, "stopped@gone.example", days=1, status=Status.SENT)
    mail(profile, "blocked@sub.gone.example", days=1, status=Status.SENT)
    suppress("stopped@gone.example", reason=Suppression.Reason.MANUAL, now=timezone.now())
    suppress(".sub.gone.example", reason=Suppression.Reason.BLACKLIST, now=timezone.now())
    told = run(stored=True)
    assert told["checked"] == 8
    assert told["already_suppressed"] == 2
    assert numbers(told) == {"no-domain": 5}


def test_the_report_says_what_the_past_rates_would_have_been(
    profile: SendingProfile, name_server: NameServer
) -> None:
    now = timezone.now()
    for number in range(4):
        opened = now if number < 2 else None
        mail(profile, f"p{number}@good.example", days=2, status=Status.SENT, opened_at=opened)
    for number in range(2):
        mail(profile, f"b{number}@gone.example", days=2, status=Status.BOUNCED)
    mail(profile, "eve@mailinator.com", days=2, status=Status.DELIVERED)
    mail(profile, "b0@gone.example", days=40, status=Status.BOUNCED)
    effect = run()["effect"]
    assert effect["past"] == {
        "sent": 7, "delivered": 5, "bounced": 2, "opened": 2,
        "bounce_rate": pytest.approx(2 / 7), "open_rate": pytest.approx(2 / 5),
    }  # fmt: skip
    assert effect["without"] == {
        "sent": 4, "delivered": 4, "bounced": 0, "opened": 2,
        "bounce_rate": 0.0, "open_rate": pytest.approx(0.5),
    }  # fmt: skip


def test_who_opens_and_clicks_nothing_is_found(
    profile: SendingProfile, name_server: NameServer
) -> None:
    now = timezone.now()
    for days in (100, 50, 20, 10):
        mail(profile, "silent@good.example", days=days, status=Status.SENT)
        mail(profile, "clicks@good.example", days=days, status=Status.SENT)
        mail(profile, "returned@good.example", days=days, status=Status.BOUNCED)
    for days in (50, 20, 10):
        mail(profile, "new@good.example", days=days, status=Status.SENT)
    mail(profile, "few@good.example", days=100, status=Status.SENT)
    Message.objects.filter(recipient="clicks@good.example").update(any_clicked_at=now)
    told = run(never_engaged=60)
    found = [one.address for one in Finding.objects.all()]
    assert found == ["silent@good.example"]
    assert numbers(told) == {"never-engaged": 1}
    assert told["effect"]["addresses"] == 0


def test_an_open_long_ago_does_not_count(profile: SendingProfile, name_server: NameServer) -> None:
    for days in (100, 50, 20, 10):
        mail(profile, "was@good.example", days=days, status=Status.SENT)
    then = timezone.now() - timedelta(days=90)
    Message.objects.update(any_opened_at=then, opened_at=then)
    run(never_engaged=60)
    assert f"the last was on {then:%Y-%m-%d}" in Finding.objects.get().detail


def test_repeated_soft_bounces_count_until_a_mail_goes_through(
    profile: SendingProfile, name_server: NameServer
) -> None:
    now = timezone.now()
    for recipient in ("full@good.example", "was.full@good.example"):
        for days in (30, 20, 10):
            message = mail(profile, recipient, days=days, status=Status.EXPIRED)
            for number in (1, 2):
                AttemptFactory.create(
                    message=message,
                    number=number,
                    route=profile.route,
                    started_at=now - timedelta(days=days),
                    outcome=Status.DEFERRED,
                    kind="soft",
                )
    message = mail(profile, "was.full@good.example", days=1, status=Status.SENT)
    AttemptFactory.create(message=message, route=profile.route, started_at=now)
    told = run()
    assert numbers(told) == {"soft-bounces": 1}
    assert Finding.objects.get().address == "full@good.example"


def test_the_recipients_of_one_batch_are_looked_at_alone(
    profile: SendingProfile, name_server: NameServer
) -> None:
    batch_id = new_message_id()
    fields = {"profile": profile, "batch_id": batch_id, "priority": Priority.BATCH}
    batch = [
        MessageFactory.create(recipient=f"p{number}@gone.example", **fields) for number in range(3)
    ]
    MessageFactory.create(profile=profile, recipient="other@gone.example")
    for named in (batch[1].pk, batch_id):
        told = run(batch=named)
        assert told["checked"] == 3
        assert numbers(told) == {"no-domain": 3}
    with pytest.raises(CommandError, match="Neither a message nor a batch"):
        run(batch=new_message_id(), no_dns=True)


def test_a_single_message_is_no_batch(profile: SendingProfile) -> None:
    message = MessageFactory.create(profile=profile)
    with pytest.raises(CommandError, match="accepted by itself"):
        run(batch=message.pk, no_dns=True)


def test_batch_of_before_batches_had_ids_is_refused_with_another_way(
    profile: SendingProfile,
) -> None:
    message = MessageFactory.create(profile=profile, priority=Priority.BATCH)
    with pytest.raises(CommandError, match=r"accepted before batches had ids.*--csv"):
        run(batch=message.pk, no_dns=True)


def test_rows_can_be_read_by_a_program(file: str, tmp_path: Path) -> None:
    formula = tmp_path / "formula.csv"
    formula.write_text("=cmd|' /C calc'!A0@gone.example\n", encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(text(csv=file, format="csv"))))
    assert {row["address"] for row in rows} >= SAFE
    assert {row["findings"] for row in rows if row["address"] == "gus@gmial.com"} == {"typo"}
    assert "'=cmd" in text(csv=str(formula), format="csv")


def test_the_report_reads_well(file: str) -> None:
    shown = text(csv=file)
    assert shown.startswith(f"{Run.objects.get()}: a csv file {file}. Checked")
    assert "gus@gmial.com  -> gus@gmail.com?" in shown
    assert "2 domains gave no answer" in shown
    assert "--apply" in shown


def test_without_look_ups_no_name_server_is_asked(file: str, name_server: NameServer) -> None:
    told = run(csv=file, no_dns=True)
    assert not name_server.asked
    assert "no-domain" not in numbers(told)


def test_another_name_server_can_be_named(file: str, name_server: NameServer, settings) -> None:
    settings.CLEAN_LIST_DNS_SERVER = "127.0.0.1:1"
    told = run(csv=file, dns_server=f"127.0.0.1:{name_server.port}")
    assert numbers(told)["no-domain"] == 1


def test_a_name_server_that_may_lie_has_nobody_suppressed_at_once(
    tmp_path: Path, name_server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleaning, "MANY", 3)
    path = tmp_path / "list.csv"
    path.write_text("".join(f"a@gone{number}.example\n" for number in range(4)), encoding="utf-8")
    with pytest.raises(CommandError, match=r"Nobody was suppressed.*tells the truth"):
        run(csv=str(path), apply=True)
    assert not Suppression.objects.exists()
    run(run=Run.objects.get().pk, apply=True)
    assert Suppression.objects.count() == 4


def test_silent_name_servers_are_told_and_stop_nobody(
    file: str, name_server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(domains, "PATIENCE", 1)
    for line in LIST.splitlines()[1:]:
        name_server.broken.add(line.rpartition("@")[2])
    told = run(csv=file, apply=True)
    assert "did not answer" in told["trouble"]
    found = set(Suppression.objects.values_list("address", flat=True))
    assert found == {"not an address", "eve@mailinator.com"}


@pytest.mark.parametrize(
    ("options", "content", "fault"),
    [
        ({"csv": "/no/such/file"}, "", "cannot be read"),
        ({"csv": None}, "", "no address in it"),
        ({"csv": None}, "address\n\n", "no address in it"),
        ({"csv": None, "column": "mail2"}, "address\na@b.example\n", "no column 'mail2'"),
        ({"run": 4711}, "", "no cleaning 4711"),
        ({"undo": 4711}, "", "no cleaning 4711"),
        ({"never_engaged": 0}, "", "from 1 to 3650"),
        ({"dns_server": "ns"}, "", "is no name server"),
    ],
)
def test_wrong_use_is_explained_and_leaves_nothing(
    tmp_path: Path, options: dict[str, Any], content: str, fault: str
) -> None:
    path = tmp_path / "list.csv"
    path.write_text(content, encoding="utf-8")
    options = {
        name: value or str(path) if name == "csv" else value for name, value in options.items()
    }
    with pytest.raises(CommandError, match=fault):
        run(**options)
    assert not Run.objects.exists()
    assert not Line.objects.exists()
