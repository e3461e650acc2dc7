"""Hits become facts of the one log, labelled, each once, in one transaction."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sending import ledger
from sending.models import Event, Message, Status, new_message_id
from tests.factories.facts import FactFactory
from tests.factories.sending import MessageFactory
from tests.factories.tracking import APPLE_PRIVACY, GMAIL, HitFactory, TrackedLinkFactory
from tracking import visits
from tracking.events import record_hits
from tracking.models import TrackedLink, Visit
from tracking.visitors import RULESET

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
COUNTRIES = Path(__file__).parent / "data" / "GeoLite2-Country-Test.mmdb"


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


@pytest.fixture
def message() -> Message:
    return MessageFactory.create(status=Status.DELIVERED, handed_off_at=NOON)


@pytest.fixture
def links(message: Message) -> list[TrackedLink]:
    version = message.template_version
    return [
        TrackedLinkFactory.create(
            template_version=version, position=number, url=f"https://shop.example/{number}"
        )
        for number in range(1, 6)
    ]


def labels(message: Message) -> list[str]:
    return list(
        Visit.objects.filter(message=message).order_by("at").values_list("label", flat=True)
    )


def click(message: Message, link: TrackedLink, second: float, **fields: Any) -> Any:
    return HitFactory.build(message=message, link=link, kind="clicked", at=at(second), **fields)


def test_a_link_that_is_followed_for_ever_fills_no_disk(
    message: Message, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("tracking.events.MAX_HITS", 10)
    other = MessageFactory.create(status=Status.DELIVERED, handed_off_at=NOON)
    for _ in range(3):
        record_hits([HitFactory.build(message=message, at=at(60)) for _ in range(7)])
    record_hits([HitFactory.build(message=other, at=at(60))])
    assert Visit.objects.filter(message=message).count() == 10
    assert Visit.objects.filter(message=other).count() == 1
    assert str(message.id) in caplog.text


def test_an_open_is_a_fact_with_what_is_known_of_it(message: Message) -> None:
    record_hits([HitFactory.build(message=message, at=at(60))])
    event = Event.objects.get(message=message)
    assert (event.kind, event.occurred_at, event.status_after) == ("opened", at(60), "")
    visit = event.visit
    assert (visit.label, visit.is_human, visit.ruleset) == ("human", True, RULESET)
    assert (visit.client, visit.device, visit.system) == ("Chrome", "desktop", "Windows")
    assert (visit.ip, visit.has_whole_ip, visit.reasons) == (
        "203.0.113.7",
        True,
        ["program:Chrome"],
    )
    message.refresh_from_db()
    assert message.opened_at == message.any_opened_at == at(60)
    assert message.clicked_at is None


def test_a_click_knows_its_link(message: Message, links: list[TrackedLink]) -> None:
    record_hits([click(message, links[1], 60)])
    assert Visit.objects.get().link == links[1]
    message.refresh_from_db()
    assert message.clicked_at == at(60)


def test_a_hit_that_is_told_again_is_written_once(message: Message) -> None:
    hits = HitFactory.build_batch(3, message=message, at=at(60))
    record_hits([*hits, hits[0]])
    record_hits(hits)
    assert Event.objects.count() == Visit.objects.count() == 3


def test_hits_on_a_message_that_is_gone_are_left_out(message: Message) -> None:
    record_hits([HitFactory.build(message_id=new_message_id()), HitFactory.build(message=message)])
    assert Visit.objects.get().message == message


def test_nothing_is_written_when_a_part_cannot_be(
    message: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any) -> None:
        raise RuntimeError("the machine ends here")

    monkeypatch.setattr("tracking.visits._keep_firsts", fail)
    with pytest.raises(RuntimeError):
        record_hits([HitFactory.build(message=message)])
    assert not Event.objects.exists()
    assert not Visit.objects.exists()


def test_the_first_person_and_the_first_machine_are_kept_apart(message: Message) -> None:
    record_hits([HitFactory.build(message=message, at=at(300))])
    record_hits([HitFactory.build(message=message, at=at(20), user_agent=APPLE_PRIVACY)])
    record_hits([HitFactory.build(message=message, at=at(200))])
    message.refresh_from_db()
    assert (message.opened_at, message.any_opened_at) == (at(200), at(20))


def test_a_proxy_that_fetches_when_somebody_looks_shows_a_person(message: Message) -> None:
    record_hits([HitFactory.build(message=message, at=at(60), user_agent=GMAIL)])
    visit = Visit.objects.get()
    assert (visit.label, visit.is_human, visit.client) == ("proxy", True, "Gmail")


@pytest.mark.parametrize(("kind", "seconds"), [("opened", 1.5), ("clicked", 4)])
def test_what_comes_too_soon_after_the_handoff_is_a_machine(
    message: Message, kind: str, seconds: float
) -> None:
    record_hits([HitFactory.build(message=message, kind=kind, at=at(seconds))])
    assert Visit.objects.get().reasons == ["instant"]


def test_what_comes_too_soon_after_a_late_delivery_is_a_machine(message: Message) -> None:
    """A relay took it at noon, and brought it to the recipient's server an hour later."""
    ledger.report([FactFactory.build(message=message, occurred_at=at(3600))])
    record_hits([HitFactory.build(message=message, at=at(3601))])
    assert labels(message) == ["scanner"]


def test_what_reads_the_mail_before_the_next_hop_has_answered_is_a_machine() -> None:
    message = MessageFactory.create(status=Status.SENDING, handed_off_at=NOON)
    record_hits([HitFactory.build(message=message, at=at(40))])
    assert labels(message) == ["scanner"]


def test_a_delivery_that_is_told_late_gives_hits_another_label(message: Message) -> None:
    other = MessageFactory.create(status=Status.SENT, handed_off_at=NOON)
    record_hits([HitFactory.build(message=message, at=at(3601))])
    assert labels(message) == ["human"]
    ledger.report([FactFactory.build(message=message, occurred_at=at(3600))])
    assert visits.reconsider([message.id, other.id]) == 1
    message.refresh_from_db()
    assert (labels(message), message.opened_at) == (["scanner"], None)


def test_a_burst_gives_earlier_clicks_another_label(
    message: Message, links: list[TrackedLink]
) -> None:
    record_hits([click(message, links[0], 600)])
    message.refresh_from_db()
    assert (labels(message), message.clicked_at) == (["human"], at(600))
    record_hits([click(message, links[1], 601), click(message, links[2], 601.5)])
    message.refresh_from_db()
    assert labels(message) == ["scanner"] * 3
    assert (message.clicked_at, message.any_clicked_at) == (None, at(600))


def test_a_person_after_a_burst_is_a_person(message: Message, links: list[TrackedLink]) -> None:
    record_hits([click(message, link, 600) for link in links])
    record_hits([click(message, links[0], 615), click(message, links[0], 900)])
    assert labels(message) == ["scanner"] * 5 + ["human", "human"]
    message.refresh_from_db()
    assert message.clicked_at == at(615)


def test_a_click_beside_a_burst_does_not_lift_it(
    message: Message, links: list[TrackedLink]
) -> None:
    record_hits([click(message, links[number], 600 + number / 2) for number in range(3)])
    record_hits([click(message, links[0], 610.7)])
    assert labels(message) == ["scanner"] * 3 + ["human"]


def test_every_link_within_ten_seconds_is_a_machine(
    message: Message, links: list[TrackedLink]
) -> None:
    record_hits([click(message, link, 600 + 2 * place) for place, link in enumerate(links)])
    assert labels(message) == ["scanner"] * 5


def test_clicks_of_two_recipients_at_once_are_no_burst(
    message: Message, links: list[TrackedLink]
) -> None:
    other = MessageFactory.create(
        template_version=message.template_version, status=Status.SENT, handed_off_at=NOON
    )
    record_hits(
        [
            click(message, links[0], 60),
            click(other, links[1], 60),
            click(message, links[2], 60.5),
        ]
    )
    assert set(labels(message) + labels(other)) == {"human"}


def test_many_hits_cost_a_constant_number_of_statements() -> None:
    messages = MessageFactory.create_batch(30, status=Status.SENT, handed_off_at=NOON)
    record_hits([HitFactory.build(message=messages[0], at=at(60))])
    with CaptureQueriesContext(connection) as few:
        record_hits([HitFactory.build(message=messages[1], at=at(60))])
    with CaptureQueriesContext(connection) as many:
        record_hits([HitFactory.build(message=message, at=at(60)) for message in messages[2:]])
    assert len(many) <= len(few) + 1


def test_odd_values_are_kept_as_far_as_they_can_be(message: Message) -> None:
    odd = HitFactory.build(
        message=message, ip="nonsense", user_agent="a\0\udc80" + "b" * 2000, method="PROPFINDXYZ"
    )
    record_hits([odd])
    visit = Visit.objects.get()
    assert (visit.ip, visit.has_whole_ip, visit.method) == (None, False, "PROPFINDXY")
    assert len(visit.user_agent) == 511


def test_the_country_is_told_by_the_file_of_the_operator(message: Message, settings: Any) -> None:
    settings.GEOIP_FILE = str(COUNTRIES)
    told = [
        HitFactory.build(message=message, at=at(60), ip="81.2.69.142"),
        HitFactory.build(message=message, at=at(61), ip="203.0.113.7"),
        # The proxy's own address says nothing of who looks.
        HitFactory.build(message=message, at=at(62), ip="81.2.69.142", user_agent=GMAIL),
    ]
    record_hits(told)
    countries = Visit.objects.order_by("at").values_list("country", flat=True)
    assert list(countries) == ["GB", "", ""]


@pytest.mark.parametrize("content", [None, b"", b"this is no MaxMind file"])
def test_without_a_file_that_can_be_read_the_hit_is_kept_without_a_country(
    message: Message, settings: Any, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "countries.mmdb"
    if content is not None:
        path.write_bytes(content)
    settings.GEOIP_FILE = str(path)
    record_hits([HitFactory.build(message=message, at=at(60), ip="81.2.69.142")])
    assert Visit.objects.get().country == ""
