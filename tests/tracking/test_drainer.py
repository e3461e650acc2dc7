"""Every spooled hit is stored once, whatever ends in between."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError

from sending.models import Message
from tests.factories.sending import MessageFactory, TemplateFactory
from tracking import drainer, spool
from tracking.drainer import drain
from tracking.hits import CLICKED, OPENED, Hit, Record
from tracking.models import Segment, TrackedLink
from tracking.networks import truncated

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch) -> list[Hit]:
    """What the event log would have been told, but for what was rolled back."""
    told: list[Hit] = []
    monkeypatch.setattr(drainer, "record_hits", told.extend)
    return told


def record_of(message_id: UUID | None = None, *, link: int = 0) -> Record:
    return Record(
        message_id or uuid4(), link, datetime.now(UTC), "192.0.2.7", "Mail/1", "GET", True, ""
    )


def spooled(*records: Record) -> list[UUID]:
    for record in records:
        spool.writer.append(record.encoded())
    return [record.message_id for record in records]


def test_what_is_spooled_is_stored_once(home: Path, stored: list[Hit]) -> None:
    ids = spooled(*(record_of() for _ in range(5)))
    assert drain(home) == 5
    assert drain(home) == 0
    assert [hit.message_id for hit in stored] == ids
    ids += spooled(record_of())
    assert drain(home) == 1
    assert [hit.message_id for hit in stored] == ids
    assert len({hit.key for hit in stored}) == 6
    assert stored[0].kind == OPENED


def test_a_segment_stays_while_it_is_written_to_and_goes_when_it_is_stored(
    home: Path, stored: list[Hit]
) -> None:
    spooled(record_of())
    drain(home)
    assert len(list(home.glob("*.hits"))) == Segment.objects.count() == 1
    spool.writer.close()
    drain(home)
    assert len(list(home.glob("*.hits"))) == Segment.objects.count() == 0
    assert len(stored) == 1


def test_the_half_of_a_record_waits_for_the_other_half(home: Path, stored: list[Hit]) -> None:
    spooled(record_of())
    (segment,) = home.glob("*.hits")
    octets = b"\x1e" + record_of().encoded() + b"\n"
    with segment.open("ab", buffering=0) as file:
        file.write(octets[:30])
        assert drain(home) == 1
        assert drain(home) == 0
        file.write(octets[30:])
    assert drain(home) == 1
    assert len(stored) == 2


def test_the_half_of_a_record_that_a_kill_left_spoils_nothing(
    home: Path, stored: list[Hit]
) -> None:
    spooled(record_of())
    spool.writer.close()
    (segment,) = home.glob("*.hits")
    with segment.open("ab") as file:
        file.write(b"\x1e" + record_of().encoded()[:20])
    assert drain(home) == 1
    assert not segment.exists()


@pytest.mark.parametrize("rubbish", [b"\0" * 100, b"\x1enonsense\n", b'\x1e["x",1]\n', b"\x1e{}\n"])
def test_rubbish_between_hits_is_passed_over(home: Path, stored: list[Hit], rubbish: bytes) -> None:
    spooled(record_of())
    (segment,) = home.glob("*.hits")
    with segment.open("ab") as file:
        file.write(rubbish)
    spooled(record_of())
    assert drain(home) == 2


def test_nothing_is_stored_without_how_far_and_nothing_twice_after_a_failure(
    home: Path, stored: list[Hit], monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = spooled(record_of(), record_of())

    def fail(name: str, *, end: int) -> None:
        raise OperationalError("the connection was lost")

    with monkeypatch.context() as patch:
        patch.setattr(drainer, "_move", fail)
        with pytest.raises(OperationalError):
            drain(home)
    stored.clear()  # the transaction took it back
    assert drain(home) == 2
    assert [hit.message_id for hit in stored] == ids


def test_a_hit_that_nothing_can_be_made_of_holds_up_no_other(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = spooled(*(record_of() for _ in range(3)))
    told: list[UUID] = []

    def record(hits: Sequence[Hit]) -> None:
        if ids[1] in [hit.message_id for hit in hits]:
            raise ValueError("a defect")
        told.extend(hit.message_id for hit in hits)

    monkeypatch.setattr(drainer, "record_hits", record)
    drain(home)
    drain(home)
    assert told == [ids[0], ids[2]]
    put_aside = (home / "rejected").read_text()
    assert str(ids[1]) in put_aside
    assert truncated(record_of().ip) in put_aside
    assert record_of().ip not in put_aside


def test_many_hits_are_stored_in_parts(
    home: Path, stored: list[Hit], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drainer, "CHUNK_BYTES", 300)
    ids = spooled(*(record_of() for _ in range(50)))
    assert drain(home) == 50
    assert [hit.message_id for hit in stored] == ids


def test_a_click_names_its_link_though_nobody_had_asked_for_the_links_before(
    home: Path, stored: list[Hit]
) -> None:
    template = TemplateFactory.create(
        version__html='<a href="https://x.example/">x</a><a href="https://y.example/">y</a>'
    )
    message = MessageFactory.create(template_version=template.current_version)
    spooled(record_of(message.pk, link=2), record_of(message.pk, link=9), record_of(link=1))
    drain(home)
    second = TrackedLink.objects.get(template_version=template.current_version, position=2)
    assert [hit.link_id for hit in stored] == [second.pk, None, None]
    assert {hit.kind for hit in stored} == {CLICKED}


def test_hits_end_in_the_history_of_their_message(home: Path) -> None:
    message = MessageFactory.create()
    spooled(record_of(message.pk), record_of(message.pk, link=1), record_of())
    drain(home)
    kinds = Message.objects.get(pk=message.pk).events.order_by("id").values_list("kind", flat=True)
    assert list(kinds) == ["opened", "clicked"]


def wait_until(condition: Callable[[], object]) -> None:
    for _ in range(1200):
        if condition():
            return
        threading.Event().wait(0.05)
    raise AssertionError("it did not happen in time")


def test_a_thread_drains_and_another_stands_by_until_it_ends(
    home: Path, stored: list[Hit], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drainer, "PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(drainer, "STAND_BY_SECONDS", 0.05)
    first, second = drainer.Drainer(), drainer.Drainer()
    first.start()
    wait_until(lambda: (home / drainer.LOCK).exists())
    second.start()
    try:
        spooled(record_of())
        wait_until(lambda: len(stored) == 1)
        first.stop()
        spooled(record_of())
        wait_until(lambda: len(stored) == 2)
    finally:
        first.stop()
        second.stop()


def test_the_command_drains_unless_somebody_does(
    home: Path, stored: list[Hit], capsys: pytest.CaptureFixture[str]
) -> None:
    spooled(record_of())
    call_command("drain_hits")
    assert "1 opens and clicks were stored" in capsys.readouterr().out
    with spool.locked(home / drainer.LOCK), pytest.raises(CommandError, match="Another process"):
        call_command("drain_hits")


def test_what_waits_for_the_database_is_written_back_to_the_disk(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spooled(record_of())
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    drainer._Drain(home).sync()
    assert len(synced) == 1
