"""Programs ask what became of the mail of their key, and of no other."""

from __future__ import annotations

import csv
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from django.test import Client
from django.utils import timezone

from sending.models import SendingProfile, Status, made_at, new_message_id
from stats import rollups
from tests.factories.apikeys import key_with_secret
from tests.factories.sending import SendingProfileFactory, TemplateVersionFactory
from tests.factories.tracking import HitFactory, TrackedLinkFactory
from tests.stats.stories import answered, handed_off
from tracking.events import record_hits

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

    def ask_header(self, **query: str) -> list[str]:
        """Return the names of the columns of a table."""
        query["format"] = "csv"
        answer = Client().get(PATH, query, headers={"X-API-Key": self.secret})
        return answer.content.decode().splitlines()[0].split(",")

    def ask(self, status: int = 200, **query: Any) -> Any:
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
    assert (others["label"], others["sent"]) == ("1 other", 1)


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


def test_the_rows_come_as_csv_for_a_spreadsheet_each_rate_with_its_counts_and_interval() -> None:
    caller = Caller(sent=3, bounced=1)
    (row,) = caller.ask(format="csv", by="recipient_domain")
    assert (row["value"], row["sent"], row["delivery_rate"]) == ("recipient.example", "4", "0.75")
    assert (row["delivery_numerator"], row["delivery_denominator"]) == ("3", "4")
    assert 0 < float(row["delivery_low"]) < 0.75 < float(row["delivery_high"]) < 1
    header = caller.ask_header(by="tag")
    assert header == list(row), "an empty table has its columns"


def test_mail_can_be_chosen_by_everything_that_it_is_told_apart_by() -> None:
    caller, other = Caller(sent=2, bounced=1), Caller(sent=7)
    gmail = {"recipient": "ann@gmail.com", "recipient_domain": "gmail.com"}
    answered(handed_off(caller.profile, number=4, sender_address="a@other.example", **gmail))
    answered(handed_off(caller.profile, number=5, stream="bulk"))
    answered(handed_off(other.profile, number=8, stream="bulk", **gmail))
    old = caller.profile.template.current_version
    assert old is not None
    caller.profile.template.current_version = TemplateVersionFactory.create(
        template=caller.profile.template
    )
    answered(handed_off(caller.profile, number=6))
    other.profile.template.current_version = old
    answered(handed_off(other.profile, number=9))
    rollups.roll()
    for name, value, sent in (
        ("template", str(old.template_id), 18),
        ("version", str(old.pk), 12),
        ("stream", "bulk", 5),
        ("sender_domain", "Other.Example", 4),
        ("recipient_domain", "gmail.com", 4),
        ("provider", "gmail", 4),
        ("provider", "recipient.example", 14),
        ("recipient_domain", "nobody.example", 0),
    ):
        told = caller.ask(**{name: value})
        assert (told["totals"]["sent"], told["of"]) == (sent, {name: value.lower()}), name
        assert sum(one["sent"] for one in caller.ask(**{name: value}, step="day")["rows"]) == sent
        [row] = caller.ask(**{name: value}, format="csv")
        assert row["sent"] == str(sent)


def test_a_template_of_others_is_as_unknown_as_one_that_was_never_made() -> None:
    caller, other = Caller(sent=1), Caller(sent=1)
    version = other.profile.template.current_version
    assert version is not None
    for name, known in (("template", version.template_id), ("version", version.pk)):
        for value in (str(known), "999999999"):
            told = caller.ask(status=422, **{name: value})
            assert told == f"{name} {value} is none that this key sends: by={name} lists those."
    fresh = Caller(sent=0)
    assert fresh.ask(template=str(fresh.profile.template_id))["totals"]["sent"] == 0


def test_an_error_has_the_envelope_and_the_code_of_the_others() -> None:
    answer = Client().get(
        PATH, {"template": "spring"}, headers={"X-API-Key": Caller(sent=0).secret}
    )
    told = answer.json()
    assert (answer.status_code, told["success"], told["code"]) == (422, False, 1005)


def test_failures_are_told_by_reason_and_only_those_of_the_key() -> None:
    caller = Caller(sent=1, bounced=3)
    answered(handed_off(caller.profile), Status.BOUNCED, reason="552 5.2.2 full")
    answered(handed_off(Caller(sent=0).profile, number=9), Status.BOUNCED, reason="550 gone")
    rollups.roll()
    told = caller.ask(show="failures")
    rows = [(row["kind"], row["code"], row["enhanced"], row["number"]) for row in told["rows"]]
    assert rows == [("bounced", "550", "", 3), ("bounced", "552", "5.2.2", 1)]
    assert (told["show"], told["has_more"]) == ("failures", False)
    assert caller.ask(show="failures", limit="1")["has_more"] is True
    assert [row["number"] for row in caller.ask(show="failures", format="csv")] == ["3", "1"]
    assert caller.ask_header(show="failures", end="2026-01-01")[0] == "kind"


def test_waits_are_told_by_percentile() -> None:
    caller = Caller(sent=4)
    Caller(sent=3)
    [row] = caller.ask(show="waits")["rows"]
    assert row["number"] == 4
    assert 0 < row["p50"] <= row["p99"]
    [row] = caller.ask(show="waits", format="csv")
    assert (row["number"], list(row)) == ("4", ["number", "p50", "p90", "p95", "p99"])


def test_links_open_times_and_clickers_are_those_of_the_own_mail() -> None:
    caller, other = Caller(sent=0), Caller(sent=0)
    [ann] = answered(handed_off(caller.profile, recipient="ann@recipient.example"))
    [eve] = answered(handed_off(other.profile, recipient="eve@recipient.example"))
    version = caller.profile.template.current_version
    link = TrackedLinkFactory.create(template_version=version)
    # Whoever clicks at once is a machine.
    later = timezone.now() + timedelta(hours=2)
    for message in (ann, eve, eve):
        record_hits([HitFactory.build(message=message, kind="clicked", link=link, at=later)])
    record_hits([HitFactory.build(message=ann, at=later)])
    rollups.roll()
    [row] = caller.ask(show="links")["rows"]
    assert (row["link_id"], row["url"], row["clicks"], row["clickers"]) == (
        link.pk, link.url, 1, 1)  # fmt: skip
    for chosen in ({"template": version.template_id}, {"version": version.pk}):
        assert len(caller.ask(show="links", **chosen)["rows"]) == 1
    another = TemplateVersionFactory.create(template=version.template)
    assert caller.ask(show="links", version=str(another.pk))["rows"] == []
    [row] = caller.ask(show="clickers", link=str(link.pk))["rows"]
    assert (row["recipient"], row["is_human"]) == (ann.recipient, True)
    assert row["message_id"] == str(ann.id)
    [row] = caller.ask(show="clickers", link=str(link.pk), format="csv")
    assert row["recipient"] == ann.recipient
    assert caller.ask(show="clickers", link=str(link.pk), end="2026-01-01")["rows"] == []
    times = {
        "show": "open_times",
        "zone": "Asia/Tokyo",
        "end": f"{later + timedelta(hours=1):%FT%TZ}",
    }
    rows = caller.ask(**times)["rows"]
    local = later.astimezone(ZoneInfo("Asia/Tokyo"))
    assert len(rows) == 7 * 24
    assert [row for row in rows if row["opens"] or row["clicks"]] == [
        {"weekday": local.isoweekday(), "hour": local.hour, "opens": 1, "clicks": 1}
    ]
    rows = caller.ask(**times, format="csv")
    assert sum(int(row["opens"]) for row in rows) == 1


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
        ({"foo": "bar"}, "There is no parameter 'foo'. There are start, end, zone, step, by, show"),
        ({"key": "x"}, "There is no parameter 'key'"),
        ({"tag": ["a", "b"]}, "Give tag once"),
        ({"template": " "}, "template is empty: give a value, or leave it out"),
        ({"template": "spring"}, "template must be a number, as by=template tells it"),
        ({"version": "9" * 30}, "version must be a number"),
        ({"template": "-1"}, "template must be a number"),
        ({"stream": "spam"}, "stream must be one of transactional, bulk"),
        ({"sender_domain": "a b"}, "sender_domain must be a domain such as shop.example"),
        ({"recipient_domain": "x@y.example"}, "recipient_domain must be a domain"),
        ({"provider": "gmial"}, "provider must be a domain or one of amazon, "),
        ({"show": "colours"}, "show must be one of failures, open_times, links, clickers, waits"),
        ({"show": "waits", "by": "tag"}, "Give by or show, not both"),
        ({"show": "failures", "tag": "a"}, "failures are known of all mail of a key together"),
        ({"show": "links", "stream": "bulk"}, "links are known of a template or version only"),
        ({"show": "clickers"}, "Give the link whose clickers to show, as show=links tells it"),
        ({"show": "clickers", "link": "x"}, "link must be a number"),
        ({"step": "day", "limit": "5"}, "limit goes with by, or with show=failures or links"),
        ({"show": "waits", "limit": "5"}, "limit goes with by"),
        ({"link": "1"}, "link goes with show=clickers only"),
    ],
)
def test_a_question_that_makes_no_sense_is_explained(query: dict[str, Any], tells: str) -> None:
    assert tells in Caller(sent=0).ask(status=422, **query)


def test_a_key_that_may_only_send_is_told_nothing() -> None:
    assert "read" in Caller(sent=0, scopes=("send",)).ask(status=403)
