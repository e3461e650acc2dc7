"""What is known of hits is found anew by better rules, and forgotten where it has to be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import StringIO
from time import monotonic, sleep
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from sending.models import Message, Status
from tests.factories.sending import MessageFactory
from tests.factories.tracking import HitFactory
from tracking import tasks, visits
from tracking.events import record_hits
from tracking.models import Visit

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def seen(number: int = 1) -> list[Message]:
    """Return messages that a person opened each."""
    messages = MessageFactory.create_batch(number, status=Status.SENT, handed_off_at=NOON)
    opened_at = NOON + timedelta(minutes=1)
    record_hits([HitFactory.build(message=message, at=opened_at) for message in messages])
    return messages


def relabel(*arguments: str) -> str:
    out = StringIO()
    call_command("relabel_events", *arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


def spoil() -> None:
    """Let the labels be those of worse rules."""
    Visit.objects.update(label="scanner", is_human=False, ruleset=0, reasons=["guess"], client="")
    Message.objects.update(opened_at=None)


def test_relabelling_corrects_the_labels_and_the_first_opens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tracking.management.commands.relabel_events.AT_ONCE", 2)
    messages = seen(5)
    spoil()
    assert relabel() == "5 of 5 opens and clicks changed (rules 1).\n"
    assert set(Visit.objects.values_list("label", "is_human", "client")) == {
        ("human", True, "Chrome")
    }
    assert Message.objects.filter(opened_at=NOON + timedelta(minutes=1)).count() == len(messages)


def test_relabelling_twice_changes_nothing() -> None:
    seen(3)
    spoil()
    relabel()
    before = list(Visit.objects.order_by("pk").values())
    assert relabel() == "0 of 3 opens and clicks changed (rules 1).\n"
    assert list(Visit.objects.order_by("pk").values()) == before


def test_relabelling_can_begin_with_a_day() -> None:
    seen()
    spoil()
    assert relabel("--since", "2999-01-01").startswith("0 of 0 ")
    assert relabel("--since", "2020-01-01").startswith("1 of 1 ")
    with pytest.raises(CommandError, match="--since"):
        relabel("--since", "yesterday")


def test_relabelling_draws_a_bar_on_a_terminal_only() -> None:
    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    seen(2)
    terminal, log = Terminal(), StringIO()
    for stream in (terminal, log):
        call_command("relabel_events", stdout=StringIO(), stderr=stream)
    assert "100 % of 2, 0 changed" in terminal.getvalue()
    assert "%" not in log.getvalue()


def test_nothing_to_relabel_is_said() -> None:
    assert relabel() == "0 of 0 opens and clicks changed (rules 1).\n"


def test_addresses_are_shortened_when_they_are_old_enough(settings: Any) -> None:
    (message,) = seen()
    settings.IP_DAYS = 30
    now = datetime.now(UTC)
    ages = {29: "198.51.100.9", 31: "198.51.100.9", 90: "2001:db8:1:2::3", 91: "198.51.100.77"}
    Visit.objects.all().delete()
    record_hits(
        [
            HitFactory.build(message=message, at=now - timedelta(days=age), ip=ip)
            for age, ip in ages.items()
        ]
    )
    tasks.truncate_ips()
    stored = Visit.objects.order_by("-at").values_list("ip", "has_whole_ip")
    assert list(stored) == [
        ("198.51.100.9", True),
        ("198.51.100.0", False),
        ("2001:db8:1::", False),
        ("198.51.100.0", False),
    ]
    tasks.truncate_ips()
    assert Visit.objects.filter(has_whole_ip=True).count() == 1


@pytest.mark.integration
@pytest.mark.django_db(transaction=True)
def test_every_worker_shortens_addresses_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks.TruncateStep, "first_seconds", 0.01)
    monkeypatch.setattr(tasks.TruncateStep, "every_seconds", 0.01)
    seen(3)
    step = tasks.TruncateStep(object())
    step.start(object())
    until = monotonic() + 60
    while Visit.objects.filter(has_whole_ip=True).exists() and monotonic() < until:
        sleep(0.02)
    step.stop(object())
    assert set(Visit.objects.values_list("ip", "has_whole_ip")) == {("203.0.113.0", False)}


def test_addresses_are_shortened_some_at_a_time() -> None:
    seen(5)
    later = NOON + timedelta(days=1)
    assert [visits.truncate_ips(before=later, limit=2) for _ in range(4)] == [2, 2, 1, 0]


def test_a_shortened_address_keeps_its_label() -> None:
    seen()
    visits.truncate_ips(before=NOON + timedelta(days=1), limit=10)
    assert relabel().startswith("0 of 1 ")
