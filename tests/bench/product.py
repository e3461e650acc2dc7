"""Drive BillionMail as its users do: over HTTP, with its own worker processes."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests
from django.db import connection
from django.db.models import Max, Min

from sending.models import Attempt, Message
from tests.processes import answers, program, wait_until
from tests.rig.servers import find
from tests.sink import free_port

RECIPIENTS_PER_CALL = 1_000
LOAD_SECONDS = 5
CLIENTS = 64
PATIENCE_SECONDS = 300
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


class Product:
    """A gunicorn and its key, over the database that Django is set up with here."""

    def __init__(self, *, directory: Path, environment: dict[str, str], secret: str) -> None:
        self.directory = directory
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = environment | {"BIND": f"127.0.0.1:{self.port}", "LOG_LEVEL": "WARNING"}
        self.headers = {"X-API-Key": secret}

    @contextlib.contextmanager
    def web(self) -> Iterator[None]:
        """Serve HTTP."""
        arguments = ("-m", "gunicorn", "billionmail.wsgi", "-c", "billionmail/gunicorn.py")
        with program(*arguments, log=self.directory / "web.log", **self.environment):
            wait_until(lambda: answers(self.url + "/readyz"))
            yield

    @contextlib.contextmanager
    def worker(self) -> Iterator[int]:
        """Deliver; yield the process id of the worker."""
        arguments = ("-m", "celery", "-A", "billionmail", "worker")
        with program(*arguments, log=self.directory / "work.log", **self.environment) as running:
            yield running.pid

    def accept(self, number: int) -> float:
        """Accept a batch for this many recipients over HTTP; return messages/s."""
        bodies = [
            {
                "recipients": [f"r{first + i}@recipient.example" for i in range(size)],
                "attribs": {"name": "Ann", "city": "Lisbon", "code": "4711"},
            }
            for first in range(0, number, RECIPIENTS_PER_CALL)
            for size in [min(RECIPIENTS_PER_CALL, number - first)]
        ]
        began = time.monotonic()
        with ThreadPoolExecutor(2) as callers:
            for answer in callers.map(self._post_batch, bodies):
                answer.raise_for_status()
        return number / (time.monotonic() - began)

    def deliver(self, number: int) -> tuple[float, float]:
        """Let a new worker drain a queue of this many; return messages/s and CPU µs a message."""
        forget_all()
        self.accept(number)
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")  # as autovacuum does within a minute
        with self.worker() as pid:
            wait_until(lambda: waiting() == 0, seconds=PATIENCE_SECONDS)
            cpu = cpu_seconds(pid)
        span = Attempt.objects.aggregate(first=Min("started_at"))["first"]
        last = Message.objects.aggregate(last=Max("status_at"))["last"]
        return number / (last - span).total_seconds(), cpu / number * 1e6

    def end_to_end(self, number: int) -> float:
        """Accept and deliver at once; return messages/s from first POST to last hand-off."""
        forget_all()
        with self.worker():
            time.sleep(4)  # it starts
            began = time.monotonic()
            self.accept(number)
            wait_until(lambda: waiting() == 0, seconds=PATIENCE_SECONDS)
            return number / (time.monotonic() - began)

    def load(self, path: str, *, body: str = "") -> tuple[float, float]:
        """Ask with 64 connections for some seconds; return requests/s and the p99 in ms."""
        script = self.directory / "request.lua"
        lines = [f'wrk.headers["{name}"] = "{value}"' for name, value in self.headers.items()]
        if body:
            lines += ['wrk.method = "POST"', f"wrk.body = [[{body}]]"]
            lines += ['wrk.headers["Content-Type"] = "application/json"']
        script.write_text("\n".join(lines))
        printed = subprocess.run(
            [find("wrk"), "-t2", f"-c{CLIENTS}", f"-d{LOAD_SECONDS}s", "--latency", "-s", script,
             self.url + path],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        if "Non-2xx" in printed:
            raise RuntimeError(f"Requests were refused:\n{printed}")
        return float(_found(r"Requests/sec:\s+([\d.]+)", printed)), _milliseconds(
            _found(r"99%\s+([\d.]+\w+)", printed)
        )

    def _post_batch(self, body: dict[str, object]) -> requests.Response:
        url = self.url + "/api/batch_mail/api/batch_send"
        return requests.post(url, json=body, headers=self.headers, timeout=60)


def forget_all() -> None:
    """Empty the tables of messages, so that every round starts alike."""
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE sending_message CASCADE")


def waiting() -> int:
    """Return how many messages are not at an end."""
    return Message.objects.filter(status__in=("queued", "sending", "deferred")).count()


def cpu_seconds(pid: int) -> float:
    """Return the processor time, user and system, that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    if match is None:
        raise RuntimeError(f"wrk printed something else:\n{text}")
    return match[1]


def _milliseconds(text: str) -> float:
    for unit, factor in (("us", 0.001), ("ms", 1.0), ("s", 1000.0)):
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * factor
    raise ValueError(text)
