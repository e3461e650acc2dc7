"""The measuring itself can be trusted: it notices what is wrong, and counts what is used."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from pathlib import Path

import pytest
from django.db import connection

from sending.models import Suppression
from tests.bench import decisions, distance, mail
from tests.bench.check import require_once
from tests.bench.goals import GOALS, Goal
from tests.bench.meter import metered
from tests.bench.report import Report
from tests.bench.settling import settled
from tests.bench.sink import SmtpSink
from tests.sink import free_port


@pytest.mark.parametrize(
    ("value", "is_less_better", "verdict"),
    [(0.5, False, "stretch"), (0.3, False, "must"), (0.1, False, "BELOW"), (0.5, True, "BELOW")],
)
def test_a_ratio_is_judged_by_what_is_asked(
    value: float, is_less_better: bool, verdict: str
) -> None:
    must, stretch = (0.3, 0.2) if is_less_better else (0.3, 0.45)
    goal = Goal("a ÷ b", "a", "b", must, stretch, is_less_better)
    assert goal.verdict(value) == verdict


def test_a_ratio_is_made_of_medians_and_left_out_when_a_part_is_missing() -> None:
    report = Report()
    for value in (100.0, 1.0, 3.0):
        report.add("ours", {"messages/s": value})
    goal = Goal("ours ÷ theirs", "ours: messages/s", "theirs: messages/s", must=2)
    assert goal.value(report.medians) is None
    report.add("theirs", {"messages/s": 2.0})
    assert goal.value(report.medians) == 1.5


def test_every_goal_that_is_asked_for_has_a_stretch_beyond_it() -> None:
    for goal in GOALS:
        if goal.must is not None:
            assert goal.stretch is not None
            assert (goal.stretch < goal.must) is goal.is_less_better


@pytest.mark.parametrize("arrived", [["a"], ["a", "b", "b"], ["a", "b", "c"]])
def test_a_lost_a_doubled_and_a_foreign_mail_are_noticed(arrived: list[str]) -> None:
    require_once(["a", "b"], ["b", "a"])
    with pytest.raises(RuntimeError, match="Of the messages accepted"):
        require_once(["a", "b"], arrived)


def test_a_late_request_is_waited_for() -> None:
    states = iter([(5, 2), (5, 0), (6, 1)])
    assert settled(lambda: next(states, (6, 0))) == 6


def test_the_time_of_a_child_that_has_ended_is_counted() -> None:
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}]); input()"
    with subprocess.Popen(
        [sys.executable, "-c", f"input(); {parent}"], stdin=subprocess.PIPE
    ) as running:
        with metered({"burner": [running.pid]}) as used:
            running.stdin.write(b"\n")
            running.stdin.flush()
            while not _reaped(running.pid):
                time.sleep(0.02)
        running.communicate(b"\n")
    assert used["burner"] >= 0.29


def test_the_counters_of_the_sink_are_read_from_the_end(tmp_path: Path) -> None:
    sink = SmtpSink(directory=tmp_path)
    (tmp_path / "sink").write_text("sess=1 quit=0 mesg=7\r" * 100 + "sess=1 quit=0 mesg=12\rsess=1")
    assert sink.count() == 12


def test_the_mail_is_as_large_as_people_write_and_as_personal() -> None:
    html = mail.html(mail.OUR_PLACES)
    assert 0.9 * mail.HTML_BYTES < len(html.encode()) <= mail.HTML_BYTES
    assert html.count("<a href=") == html.count(mail.OUR_PLACES["email"]) == mail.LINKS


def test_what_a_distant_server_says_comes_late_and_whole() -> None:
    async def converse() -> tuple[bytes, float]:
        near, far = free_port(), free_port()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.readexactly(4))
            writer.close()

        async with await asyncio.start_server(answer, "127.0.0.1", near):
            relay = asyncio.create_task(distance.main(far, near))
            while True:
                with contextlib.suppress(ConnectionRefusedError):
                    reader, writer = await asyncio.open_connection("127.0.0.1", far)
                    break
                await asyncio.sleep(0.01)
            began = time.monotonic()
            writer.write(b"MAIL")
            said = await reader.read()
            took = time.monotonic() - began
            writer.close()
            relay.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await relay
            return said, took

    said, took = asyncio.run(converse())
    assert said == b"MAIL"
    assert took >= distance.REPLY_DELAY_SECONDS


def _reaped(pid: int) -> int:
    """Return the ticks of the children that the process has waited for."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[13])


@pytest.mark.integration
@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="COPY is PostgreSQL's")
def test_the_decision_is_measured_beside_an_empty_and_a_full_list(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decisions, "ROUNDS", 1)
    decisions.run(rows=50)
    printed = capsys.readouterr().out
    assert printed.count("decide about") == printed.count("screen and store") == 6
    assert Suppression.objects.count() == 50
