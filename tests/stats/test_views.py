"""Programs ask what became of the mail of their key, and of no other."""

from __future__ import annotations

import csv
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.test import Client
from django.utils import timezone

from sending.models import SendingProfile, Status, made_at, new_message_id
from stats import rollups
from tests.factories.apikeys import key_with_secret
from tests.factories.sending import SendingProfileFactory
from tests.stats.stories import answered, handed_off

pytestmark = pytest.mark.django_db

PATH = "/api/v1/stats"


class Caller:
    """A program with a key that may read, and mail of its own."""

    def __init__(self, *, sent: int, bounced: int = 0, scopes: tuple[str, ...] = ("read",)) -> None:
        key, self.secret = key_with_secret(scopes=list(scopes))
        self.profile: SendingProfile = SendingProfileFactory.create(api_key=key)
        if sent:
            answered(handed_off(self.profile, number=sent))
        if bounced:
            answered(handed_off(self.profile, number=bounced), Status.BOUNCED, reason="550 gone")
        rollups.roll()

    def ask(self, status: int = 200, **query: str) -> Any:
        answer = Client().get(PATH, query, headers={"X-API-Key": self.secret})
        assert answer.status_code == status, answer.content
        if answer["Content-Type"].startswith("text/csv"):
            return list(csv.DictReader(answer.content.decode().splitlines()))
        told = answer.json()
        return told["data"] if told["success"] else told["msg"]


def test_a_key_is_told_the_counts_of_its_own_mail_alone() -> None:
    Caller(sent=5)
    told = Caller(sent=3, bounced=1).ask()
    assert (told["totals"]["sent"], told["totals"]["bounced"]) == (4, 1)
    assert told["before"]["sent"] == 0
    rate = told["totals"]["rates"]["delivery"]
    assert (rate["numerator"], rate["denominator"], rate["share"]) == (3, 4, 0.75)
    assert rate["low"] < 0.75 < rate["high"]
    assert told["rate_definitions"]["delivery"] == "delivered / sent"


def test_a_span_of_days_begins_with_its_first_day_where_midnight_is_at_half_an_hour() -> None:
    caller = Caller(sent=0)
    asked = {"step": "day", "zone": "Asia/Kolkata", "start": "2026-03-01", "end": "2026-03-03"}
    rows = caller.ask(**asked)["rows"]
    assert [row["start"][:10] for row in rows] == ["2026-03-01", "2026-03-02"]


def test_a_series_has_every_day_of_the_zone_and_all_the_mail_in_it() -> None:
    caller = Caller(sent=2)
    rows = caller.ask(step="day", zone="Asia/Kathmandu")["rows"]
    assert 30 <= len(rows) <= 32
    assert sum(row["sent"] for row in rows) == 2
    assert all(row["start"].endswith("T00:00:00+05:45") for row in rows)


def test_a_breakdown_names_what_it_counts_and_sums_the_others() -> None:
    caller = Caller(sent=2)
    answered(handed_off(caller.profile, number=1, recipient="ann@other.example"))
    rollups.roll()
    largest, others = caller.ask(by="recipient_domain", limit="1")["rows"]
    assert (largest["value"], largest["sent"]) == ("recipient.example", 2)
    assert (others["label"], others["sent"]) == ("1 others", 1)


def test_marks_are_cuts_of_the_answer_as_json_and_csv() -> None:
    caller, other = Caller(sent=1), Caller(sent=1)
    batch_id = new_message_id()
    shared = {"batch_id": batch_id, "tags": ["x", "y"]}
    answered(handed_off(caller.profile, number=2, variant="A", **shared))
    answered(handed_off(caller.profile, variant="B", **shared), Status.BOUNCED, reason="550 no")
    answered(handed_off(other.profile, variant="A", tags=["x"]))
    rollups.roll()
    rows = caller.ask(by="variant")["rows"]
    assert [(row["value"], row["sent"]) for row in rows] == [("A", 2), ("B", 1)]
    rows = caller.ask(by="tag", format="csv")
    assert [(row["value"], row["sent"]) for row in rows] == [("x", "3"), ("y", "3")]
    [row] = caller.ask(by="batch")["rows"]
    assert (row["value"], row["sent"], row["bounced"]) == (str(batch_id), 3, 1)
    assert row["label"] == f"{made_at(batch_id):%Y-%m-%d %H:%M:%S} UTC"
    for name, value, sent in (("variant", "A", 2), ("tag", "y", 3), ("batch", str(batch_id), 3)):
        told = caller.ask(**{name: value})
        assert (told["totals"]["sent"], told["of"]) == (sent, {name: value})
        assert told["seconds_to_handoff"] is None
        [row] = caller.ask(**{name: value}, format="csv")
        assert row["sent"] == str(sent)
        assert sum(one["sent"] for one in caller.ask(**{name: value}, step="day")["rows"]) == sent
    assert other.ask(batch=str(batch_id))["totals"]["sent"] == 0
    assert caller.ask()["of"] is None


def test_a_batch_is_found_by_its_id_however_old_it_is() -> None:
    caller = Caller(sent=0)
    milliseconds = int((timezone.now() - timedelta(days=200)).timestamp() * 1000)
    batch_id = UUID(int=milliseconds << 80 | 7 << 76 | 2 << 62)
    at = made_at(batch_id)
    answered(handed_off(caller.profile, number=2, batch_id=batch_id, accepted_at=at,
                        expires_at=timezone.now() + timedelta(days=1)))  # fmt: skip
    rollups.roll()
    assert caller.ask(batch=str(batch_id))["totals"]["sent"] == 2
    rows = caller.ask(batch=str(batch_id), step="hour")["rows"]
    assert [row["sent"] for row in rows if row["sent"]] == [2]
    assert len(rows) <= 4
    assert (
        caller.ask(batch=str(batch_id), start="2026-01-01", end="2026-01-02")["totals"]["sent"] == 0
    )


def test_a_batch_is_found_where_the_clock_of_the_database_is_behind() -> None:
    caller = Caller(sent=0)
    batch_id = new_message_id()
    at = made_at(batch_id) - timedelta(hours=1)
    answered(handed_off(caller.profile, batch_id=batch_id, accepted_at=at))
    rollups.roll()
    milliseconds = int((timezone.now() - timedelta(days=40)).timestamp() * 1000)
    old = UUID(int=milliseconds << 80 | 7 << 76 | 2 << 62)
    answered(handed_off(caller.profile, batch_id=old, accepted_at=made_at(old) - timedelta(hours=1),
                        expires_at=timezone.now() + timedelta(days=1)))  # fmt: skip
    rollups.roll()
    for one in (batch_id, old):
        assert caller.ask(batch=str(one))["totals"]["sent"] == 1
        rows = caller.ask(batch=str(one), step="hour")["rows"]
        assert sum(row["sent"] for row in rows) == 1


@pytest.mark.parametrize("time", ["00000000-0000", "e677d21f-dbff"])
def test_an_id_of_the_first_or_last_day_of_all_is_of_no_batch(time: str) -> None:
    told = Caller(sent=0).ask(batch=f"{time}-7000-8000-000000000000", step="hour")
    assert sum(row["accepted"] for row in told["rows"]) == 0


def test_the_rows_come_as_csv_for_a_spreadsheet() -> None:
    (row,) = Caller(sent=3, bounced=1).ask(format="csv", by="recipient_domain")
    assert (row["value"], row["sent"], row["delivery_rate"]) == ("recipient.example", "4", "0.75")


@pytest.mark.parametrize(
    ("query", "tells"),
    [
        ({"zone": "Mars/Olympus"}, "zone must be a name"),
        ({"zone": "../etc/passwd"}, "zone must be a name"),
        ({"start": "yesterday"}, "start must be a date"),
        ({"start": "2026-13-01"}, "start must be a date"),
        ({"end": "0001-01-01"}, "end must be a date"),
        ({"start": "2026-03-02", "end": "2026-03-01"}, "start must be before end"),
        ({"start": "2000-01-01", "end": "2026-03-01"}, "more than ten years"),
        ({"step": "minute"}, "step must be one of hour, day, week, month"),
        ({"by": "colour"}, "by must be one of all, key"),
        ({"step": "hour", "start": "2026-01-01", "end": "2026-06-01"}, "more than 2400 steps"),
        ({"step": "day", "by": "key"}, "not both"),
        ({"by": "key", "limit": "0"}, "limit must be a number from 1 to 100"),
        ({"by": "key", "limit": "many"}, "limit must be a number"),
        ({"format": "xml"}, "format must be json or csv"),
        ({"batch": "7"}, "batch must be an id, as the header X-Batch-ID gives it"),
        ({"batch": str(UUID(int=(1 << 128) - 1))}, "batch must be an id"),
        ({"batch": "ffffffff-ffff-7fff-bfff-ffffffffffff"}, "batch must be an id"),
        ({"batch": str(uuid4())}, "batch must be an id"),
        ({"tag": "a", "variant": "B"}, "Give variant or tag, not both"),
        ({"tag": "a\0"}, "tag must have no NUL character"),
        ({"variant": "\0", "format": "csv"}, "variant must have no NUL character"),
        ({"tag": "a", "by": "template"}, "Give by or tag, not both"),
    ],
)
def test_a_question_that_makes_no_sense_is_explained(query: dict[str, str], tells: str) -> None:
    assert tells in Caller(sent=0).ask(status=422, **query)


def test_a_key_that_may_only_send_is_told_nothing() -> None:
    assert "read" in Caller(sent=0, scopes=("send",)).ask(status=403)
