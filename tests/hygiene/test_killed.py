"""Whoever cleans a list is killed again and again; each entry is decided once nevertheless."""

from __future__ import annotations

import io
import os
import random
import signal
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from hygiene import cleaning, commands, forgetting, tasks
from hygiene.models import WORKING, Line, Run
from sending.models import LiftedSuppression, Suppression

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.integration,
    pytest.mark.skipif(
        "postgresql" not in settings.DATABASES["default"]["ENGINE"],
        reason="SQLite keeps the tests' tables in this process",
    ),
]

GOOD, BAD, TWICE = 60, 45, 15
STATEMENTS = 24  # at most, until a process dies


@pytest.fixture(autouse=True)
def small_lots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleaning, "LOT", 15)
    monkeypatch.setattr(commands, "WRITTEN_AT_ONCE", 50)


@pytest.fixture
def file(tmp_path: Path) -> str:
    bad = [f"eve{number}@mailinator.com" for number in range(BAD)]
    lines = [f"ann{number}@good.example" for number in range(GOOD)] + bad + bad[:TWICE]
    random.Random(7).shuffle(lines)
    path = tmp_path / "list.csv"
    path.write_text("\n".join(["email", *lines]))
    return str(path)


class Killer:
    """Let a process of its own do something, and kill that at one of its statements."""

    def __init__(self) -> None:
        self.rng = random.Random(42)

    def __call__(self, act: Callable[[], Any], *, statement: int = 0) -> bool:
        """Tell whether it was killed: at this statement, or at some."""
        left = iter(range((statement or self.rng.randint(1, STATEMENTS)) - 1, -1, -1))
        is_after = self.rng.random() < 0.5
        connection.close()
        number = os.fork()
        if number:
            return os.WIFSIGNALED(os.waitpid(number, 0)[1])

        def count(execute: Any, *statement: Any) -> Any:
            is_last = next(left) == 0
            if is_last and not is_after:
                os.kill(os.getpid(), signal.SIGKILL)
            answer = execute(*statement)
            if is_last:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

        try:
            with connection.execute_wrapper(count):
                act()
        finally:
            os._exit(0)


@pytest.fixture
def die() -> Iterator[Killer]:
    yield Killer()
    connection.close()


def go_on_to_the_end(die: Killer) -> int:
    """Let workers go on and die until the run rests; return how many died."""
    deaths = 0
    while Run.objects.filter(state__in=WORKING).exists():
        # As if its time had passed.
        Run.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
        deaths += die(tasks.go_on)
    return deaths


def load(file: str) -> None:
    call_command("clean_list", csv=file, apply=True, no_dns=True, stdout=io.StringIO())


def test_a_run_ends_as_if_nobody_had_died(file: str, die: Killer) -> None:
    deaths = 0
    while not Run.objects.exclude(state=Run.State.LOADING).exists():
        deaths += die(lambda: load(file))
    deaths += go_on_to_the_end(die)
    run = Run.objects.get(state=Run.State.APPLIED)
    assert run.report["checked"] == GOOD + BAD + TWICE
    assert run.report["with_findings"] == BAD
    outcomes = list(run.findings.values_list("outcome", flat=True))
    assert outcomes == [cleaning.Outcome.SUPPRESSED] * BAD
    assert (run.done, run.total) == (BAD, BAD)
    assert Suppression.objects.filter(is_repeated=False).count() == BAD
    assert not Line.objects.filter(run=run).exists()

    commands.undo(run.pk, by="ann", now=timezone.now())
    deaths += go_on_to_the_end(die)
    run.refresh_from_db()
    assert run.state == Run.State.UNDONE
    assert (run.done, run.total) == (BAD, BAD)
    assert not Suppression.objects.exists()
    assert LiftedSuppression.objects.count() == BAD
    assert deaths > 10


def test_a_file_that_is_not_read_any_more_is_told_within_the_hour(file: str, die: Killer) -> None:
    assert die(lambda: load(file), statement=6)
    run = Run.objects.get(state=Run.State.LOADING)
    assert Line.objects.exists()
    now = timezone.now()
    forgetting.forget_old(now=now)
    assert Run.objects.get().state == Run.State.LOADING
    forgetting.forget_old(now=now + timedelta(hours=1))
    run.refresh_from_db()
    assert run.state == Run.State.FAILED
    assert "was never read to its end" in run.trouble
    assert not Line.objects.exists()
