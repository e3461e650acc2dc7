"""The pages begin a cleaning, show it, decide about it; workers do it, with a broker or without."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from hygiene import cleaning, runs
from hygiene.errors import HoldLost
from hygiene.forgetting import forget_old
from hygiene.models import Finding, Line, Run, kinds_of
from hygiene.tasks import CleanStep, go_on
from sending.mentions import STRUCK
from sending.models import Suppression
from tests.dns_server import NameServer

pytestmark = pytest.mark.django_db

LIST = b"email\nann@good.example\nbob@gone.example\ninfo@good.example\n<b>x</b>\n"


def start(client: Client, **fields: Any) -> Run:
    file = SimpleUploadedFile("list.csv", LIST)
    wanted = {"source": "file", "file": file, "looks_up_domains": "on", "period_days": 30}
    answer = client.post("/admin/hygiene/run/start/", wanted | {"never_engaged_days": 180} | fields)
    assert answer.status_code == 302, answer.context["form"].errors
    return Run.objects.latest("pk")


def shown(client: Client, run: Run, query: str = "") -> str:
    return client.get(f"/admin/hygiene/run/{run.pk}/change/{query}").content.decode()


def work() -> None:
    while go_on():
        pass


def test_a_list_is_checked_by_a_worker_then_applied_and_undone(
    admin_client: Client, name_server: NameServer
) -> None:
    run = start(admin_client)
    page = shown(admin_client, run)
    assert 'http-equiv="refresh"' in page
    assert 'role="progressbar"' in page

    work()
    page = shown(admin_client, run)
    assert 'http-equiv="refresh"' not in page
    assert "bob@gone.example" in page
    assert "&lt;b&gt;x&lt;/b&gt;" in page
    assert not Suppression.objects.exists()

    act = f"/admin/hygiene/run/{run.pk}/apply/"
    assert "2 addresses" in admin_client.get(act).content.decode()
    preview = admin_client.post(act, {"kinds": ["no-domain", "role"]}).content.decode()
    assert "2 addresses" in preview
    assert Run.objects.get().state == Run.State.CHECKED

    admin_client.post(act, {"kinds": ["no-domain", "role"], "confirmed": ""})
    assert Run.objects.get().state == Run.State.APPLYING
    work()
    given = {order.address: order.by for order in Suppression.objects.all()}
    assert given == dict.fromkeys(
        ["bob@gone.example", "info@good.example"], f"admin (cleaning {run.pk})"
    )

    admin_client.post(f"/admin/hygiene/run/{run.pk}/undo/")
    work()
    assert not Suppression.objects.exists()
    assert "Undone" in shown(admin_client, run)
    log = list(LogEntry.objects.order_by("id").values_list("change_message", flat=True))
    assert log == ["Started: A CSV file.", "Suppressing: no-domain, role.", "Undoing."]


def test_rows_are_downloaded(admin_client: Client, name_server: NameServer) -> None:
    run = start(admin_client)
    work()
    answer = admin_client.get(f"/admin/hygiene/run/{run.pk}/rows/")
    lines = answer.getvalue().decode().splitlines()
    assert lines[0] == "address,findings,detail,suggestion,outcome,note"
    assert "bob@gone.example,no-domain,gone.example: no such domain,,," in lines


def test_findings_of_one_kind_are_shown(admin_client: Client, name_server: NameServer) -> None:
    run = start(admin_client)
    work()
    page = shown(admin_client, run, "?kind=role")
    assert "info@good.example" in page
    assert "bob@gone.example" not in page


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"file": ""}, "It is needed"),
        ({"source": "batch"}, "It is needed"),
        ({"column": "mail2"}, "no column"),
        ({"file": SimpleUploadedFile("empty.csv", b"\n")}, "no address in it"),
        ({"never_engaged_days": 0}, "greater than or equal to 1"),
    ],
)
def test_wrong_use_is_explained(admin_client: Client, fields: dict[str, Any], fault: str) -> None:
    with pytest.raises(AssertionError, match=fault):
        start(admin_client, **fields)
    assert not Run.objects.exists()


def test_what_was_decided_already_is_told(admin_client: Client, name_server: NameServer) -> None:
    run = start(admin_client)
    work()
    undone = admin_client.post(f"/admin/hygiene/run/{run.pk}/undo/", follow=True)
    assert "cannot be undone" in undone.content.decode()
    Run.objects.update(state=Run.State.APPLIED)
    act = f"/admin/hygiene/run/{run.pk}/apply/"
    answer = admin_client.post(act, {"kinds": ["role"], "confirmed": ""})
    assert "cannot be applied" in answer.content.decode()


def test_check_is_stopped(admin_client: Client, name_server: NameServer) -> None:
    run = start(admin_client)
    held = runs.take_up(now=timezone.now())
    admin_client.post(f"/admin/hygiene/run/{run.pk}/stop/")
    with pytest.raises(HoldLost):
        cleaning.clean(held)
    assert Run.objects.get().state == Run.State.FAILED
    assert "stopped" in shown(admin_client, run)


def test_one_worker_at_a_time_works_on_a_run(admin_client: Client) -> None:
    start(admin_client)
    now = timezone.now()
    assert runs.take_up(now=now) is not None
    assert runs.take_up(now=now) is None
    assert runs.take_up(now=now + runs.HOLD + timedelta(seconds=1)) is not None


def test_a_worker_goes_on_where_another_ended(
    admin_client: Client, name_server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleaning, "LOT", 1)
    start(admin_client)
    dead = runs.take_up(now=timezone.now())
    seen = []
    cleaning.clean(dead, watch=seen.append, should_stop=lambda: len(seen) == 2)
    assert (Run.objects.get().done, Line.objects.count()) == (2, 2)
    name_server.asked.clear()
    work()
    assert Run.objects.get().report["checked"] == 4
    assert not name_server.asked["gone.example"]
    assert Finding.objects.count() == 3


def test_who_lost_the_run_writes_nothing(admin_client: Client, name_server: NameServer) -> None:
    start(admin_client)
    slow = runs.take_up(now=timezone.now() - 2 * runs.HOLD)
    work()
    found = Finding.objects.count()
    with pytest.raises(HoldLost):
        cleaning.clean(slow)
    assert Finding.objects.count() == found
    assert Run.objects.get().state == Run.State.CHECKED


def test_a_run_that_ends_its_worker_is_not_taken_up_for_ever(
    admin_client: Client, name_server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start(admin_client)
    monkeypatch.setattr(cleaning, "examine", lambda *a, **k: 1 / 0)
    work()
    assert "nobody foresaw" in shown(admin_client, run)


def test_the_step_of_a_worker_does_all_that_waits(
    admin_client: Client, name_server: NameServer
) -> None:
    start(admin_client)
    start(admin_client)
    CleanStep(None).work()
    assert {run.state for run in Run.objects.all()} == {Run.State.CHECKED}


def test_addresses_are_forgotten_when_nothing_can_be_undone(
    admin_client: Client, name_server: NameServer
) -> None:
    run = start(admin_client)
    work()
    now = timezone.now()
    forget_old(now=now + timedelta(days=29))
    assert Finding.objects.exists()
    forget_old(now=now + timedelta(days=31))
    run.refresh_from_db()
    assert not Finding.objects.exists()
    assert run.report["examples"] == {}
    assert run.report["numbers"]["no-domain"] == 1
    assert "forgotten after 30 days" in shown(admin_client, run)


def test_applied_run_is_kept_as_long_as_it_can_be_undone(
    admin_client: Client, name_server: NameServer
) -> None:
    run = start(admin_client)
    work()
    now = timezone.now()
    Run.objects.update(state=Run.State.APPLIED, applied_at=now + timedelta(days=6))
    forget_old(now=now + timedelta(days=33))
    assert run.findings.exists()
    forget_old(now=now + timedelta(days=37))
    assert not run.findings.exists()


def test_who_was_forgotten_meanwhile_is_not_suppressed_by_another_name(
    admin_client: Client, name_server: NameServer
) -> None:
    run = start(admin_client)
    work()
    for finding in Finding.objects.all()[:2]:
        Finding.objects.filter(pk=finding.pk).update(address=STRUCK)
    kinds = ["no-domain", "role", "syntax"]
    admin_client.post(f"/admin/hygiene/run/{run.pk}/apply/", {"kinds": kinds, "confirmed": ""})
    work()
    assert Suppression.objects.count() == 1
    assert not Suppression.objects.filter(address=STRUCK).exists()


def test_a_run_of_another_holder_is_not_changed(admin_client: Client) -> None:
    run = start(admin_client)
    run.holder = uuid.uuid4()
    runs.release(run)
    runs.fail(run, "No.")
    assert Run.objects.get().state == Run.State.CHECKING
    assert kinds_of(run.kinds)
