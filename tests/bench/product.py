"""Drive BillionMail as its users do: over HTTP, with worker processes of its own."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import psycopg
import requests

from tests.bench import load, mail
from tests.bench.arrivals import arrive
from tests.bench.keys import PLAIN, Keys
from tests.bench.meter import metered, peak_memory_mb
from tests.bench.settling import settled
from tests.bench.stage import Stage
from tests.processes import program, wait_until

RECIPIENTS_PER_CALL = 1_000
CALLERS = 2
PATIENCE_SECONDS = 600
# One for each core that this is measured on, and as many processes as the yardsticks have.
WORKERS = 2
SEND = "/api/batch_mail/api/send"
BATCH_SEND = "/api/batch_mail/api/batch_send"
# Each half has a partial index; together they would be looked for in the whole table.
WAITING = """
(SELECT 1 FROM sending_message WHERE status = 'sending' LIMIT 1)
UNION ALL
(SELECT 1 FROM sending_message
 WHERE status IN ('queued', 'deferred') AND next_attempt_at IS NOT NULL LIMIT 1)
LIMIT 1
"""
LOOK_SECONDS = 0.2  # looking is work for the database too; what is measured does not end with it


class Product:
    """BillionMail over one database; `keeps_rows`: earlier messages stay there between runs."""

    def __init__(
        self, *, stage: Stage, database: str, keys: Keys, keeps_rows: bool = False, broker: str = ""
    ) -> None:
        self.database = database
        self.url = ""
        self.web_pid = 0
        self._stage = stage
        self._keys = keys
        self._keeps_rows = keeps_rows
        self._since = uuid.UUID(int=0)
        self._connection: psycopg.Connection | None = None
        self._environment = {"DATABASE_URL": database, "REDIS_URL": broker or stage.broker}

    @contextlib.contextmanager
    def web(self) -> Iterator[Product]:
        """Serve HTTP, with two processes."""
        with self._stage.gunicorn("billionmail.wsgi", ready="/readyz", **self._environment) as web:
            self.url, self.web_pid = web.url, web.pid
            try:
                yield self
            finally:
                if self._connection is not None:
                    self._connection.close()

    # --- Accepting ------------------------------------------------------------------------

    def batch(self, number: int, *, key: str = PLAIN) -> dict[str, float]:
        """Accept batches from two callers; each call has values of its own."""
        calls = [
            (
                [f"r{first + i}@recipient.example" for i in range(size)],
                mail.VALUES | {"name": f"Ann {first}", "code": f"{first:06}"},
            )
            for first in range(0, number, RECIPIENTS_PER_CALL)
            for size in [min(RECIPIENTS_PER_CALL, number - first)]
        ]
        began = time.monotonic()
        with ThreadPoolExecutor(CALLERS) as callers:
            queued = sum(callers.map(lambda call: self.accept(*call, key=key), calls))
        if queued != number:
            raise RuntimeError(f"{number} recipients were given, but {queued} are queued.")
        return {"rows/s": number / (time.monotonic() - began)}

    def accept(self, recipients: list[str], attribs: dict[str, str], *, key: str) -> int:
        """Make one call for a batch; return how many messages are queued by it."""
        answer = requests.post(
            self.url + BATCH_SEND,
            json={"recipients": recipients, "attribs": attribs},
            headers={"X-API-Key": self._keys.secrets[key]},
            timeout=60,
        )
        answer.raise_for_status()
        return answer.json()["data"]["queued"]

    def bulk_accept(self, number: int) -> dict[str, float]:
        """Accept batches while nobody delivers."""
        self.forget()
        return self.batch(number)

    def single_accept(self, seconds: float) -> dict[str, float]:
        """Accept single mails from many connections while nobody delivers."""
        self.forget()
        figures = self._load(seconds)
        settled(lambda: (self._stored_and_waiting()[0], 0))
        return figures

    # --- Delivering -----------------------------------------------------------------------

    def deliver(self, number: int, *, key: str = PLAIN, workers: int = WORKERS) -> dict[str, float]:
        """Let warm workers drain a queue of this many."""
        self.forget()
        self.batch(number, key=key)
        self.ask("ANALYZE")  # as autovacuum does within a minute
        with self.workers(workers) as (pids, gate), self._stage.sink.expecting(number):
            with metered(self._processes(pids)) as used:
                began = self._now()
                gate.rollback()
                self.wait_until_empty()
            memory = peak_memory_mb(pids)
        rate = self._rate(number, since=began)
        return {"messages/s": rate, "worker memory, MB": memory} | _shares(used, number)

    def end_to_end(self, number: int) -> dict[str, float]:
        """Accept batches and deliver at once; the time counts from the first call."""
        self.forget()
        with self.workers(WORKERS) as (pids, gate), self._stage.sink.expecting(number):
            gate.rollback()
            with metered(self._processes(pids)) as used:
                began = self._now()
                self.batch(number)
                self.wait_until_empty()
        return {"messages/s": self._rate(number, since=began)} | _shares(used, number)

    def single_end_to_end(self, seconds: float) -> dict[str, float]:
        """Accept single mails for some seconds and deliver at once, until all have left."""
        self.forget()
        with self.workers(WORKERS) as (pids, gate), self._stage.sink.expecting(None) as expected:
            gate.rollback()
            with metered(self._processes(pids)) as used:
                began = self._now()
                self._load(seconds)
                number = settled(self._stored_and_waiting)
            expected.append(number)
        return {"messages/s": self._rate(number, since=began)} | _shares(used, number)

    def arrivals(self, *, per_second: float, seconds: float) -> dict[str, float]:
        """Tell how long acceptance, and then the way out, take at this rate; workers must run."""
        self.forget()
        latencies = sorted(
            arrive(
                self.url + SEND,
                headers={"X-API-Key": self._keys.secrets[PLAIN]},
                per_second=per_second,
                seconds=seconds,
            )
        )
        self.wait_until_empty()
        figures = {
            f"acceptance p{percent}, ms": latencies[len(latencies) * percent // 100]
            for percent in (50, 99)
        }
        row = self.ask(
            """
            SELECT percentile_disc(ARRAY[0.5, 0.99]) WITHIN GROUP (ORDER BY a.started_at - m.accepted_at),
                   percentile_disc(ARRAY[0.5, 0.99]) WITHIN GROUP (ORDER BY e.occurred_at - m.accepted_at)
            FROM sending_message m
            JOIN sending_attempt a ON a.message_id = m.id
            JOIN sending_event e ON e.message_id = m.id AND e.kind = 'sent'
            WHERE m.id >= %s
            """,  # noqa: E501 - as SQL reads best
            self._since,
        )
        for name, spans in zip(("to the attempt", "to the sent event"), row, strict=True):
            for percent, span in zip((50, 99), spans, strict=True):
                figures[f"{name} p{percent}, ms"] = span.total_seconds() * 1000
        return figures

    @contextlib.contextmanager
    def workers(self, number: int) -> Iterator[tuple[list[int], psycopg.Connection]]:
        """Run workers that stand at a gate, warm; roll the yielded connection back to open it.

        The gate is a lock on the table of messages: they have started, and wait to claim.
        """
        with contextlib.ExitStack() as stack:
            gate = stack.enter_context(psycopg.connect(self.database))
            gate.execute("LOCK TABLE sending_message IN EXCLUSIVE MODE")
            pids = [stack.enter_context(self._worker(each)) for each in range(number)]
            wait_until(lambda: self._at_the_gate() >= number)
            yield pids, gate

    @contextlib.contextmanager
    def _worker(self, number: int) -> Iterator[int]:
        arguments = ("-m", "celery", "-A", "billionmail", "worker", "-n", f"bench{number}@%h")
        log = self._stage.directory / "worker.log"
        environment = self._stage.environment | self._environment | {"LOG_LEVEL": "WARNING"}
        with program(*arguments, log=log, **environment) as running:
            yield running.pid

    # --- Looking ----------------------------------------------------------------------------

    def ask(self, query: str, *values: object) -> tuple:
        """Return the first row of the answer; empty if there is none."""
        if self._connection is None:
            # Whoever looks often must find the few rows by index, whatever the planner knows.
            options = "-c enable_seqscan=off -c enable_bitmapscan=off"
            self._connection = psycopg.connect(self.database, autocommit=True, options=options)
        cursor = self._connection.execute(query, values)
        return (cursor.fetchone() or ()) if cursor.description else ()

    def forget(self) -> None:
        """Begin anew: without earlier messages, unless they are kept; without earlier bells."""
        self._stage.forget_tasks()
        if not self._keeps_rows:
            # The standing orders refer to messages, and would go with them.
            self.ask("CREATE TABLE IF NOT EXISTS kept_orders AS TABLE sending_suppression")
            self.ask("TRUNCATE sending_message CASCADE")
            self.ask("INSERT INTO sending_suppression TABLE kept_orders")
        self._since = uuid.UUID(int=int(time.time() * 1000) << 80)

    def wait_until_empty(self) -> None:
        """Wait until no message can move by itself."""
        wait_until(
            lambda: not self.ask(WAITING), seconds=PATIENCE_SECONDS, look_seconds=LOOK_SECONDS
        )

    def message_ids(self) -> list[str]:
        """Return the Message-ID of everything that was to be sent since `forget`."""
        row = self.ask(
            "SELECT array_agg(message_id) FROM sending_message"
            " WHERE id >= %s AND status <> 'suppressed'",
            self._since,
        )
        return row[0] or []

    def _load(self, seconds: float) -> dict[str, float]:
        return load.post_mails(
            self.url + SEND,
            headers={"X-API-Key": self._keys.secrets[PLAIN]},
            seconds=seconds,
            directory=self._stage.directory,
        )

    def _at_the_gate(self) -> int:
        return self.ask(
            """
            SELECT count(DISTINCT pid) FROM pg_locks JOIN pg_stat_activity USING (pid)
            WHERE NOT granted AND relation = 'sending_message'::regclass
              AND backend_type = 'client backend'
            """
        )[0]

    def _stored_and_waiting(self) -> tuple[int, int]:
        stored = self.ask("SELECT count(*) FROM sending_message WHERE id >= %s", self._since)[0]
        return stored, len(self.ask(WAITING))

    def _now(self) -> datetime:
        return self.ask("SELECT clock_timestamp()")[0]

    def _rate(self, number: int, *, since: datetime) -> float:
        """Return messages/s by the database's clock, until the last of them was sent."""
        sent, last = self.ask(
            "SELECT count(*), max(status_at) FROM sending_message"
            " WHERE id >= %s AND status = 'sent'",
            self._since,
        )
        if sent != number:
            raise RuntimeError(f"{number} messages were accepted, but {sent} are sent.")
        return number / (last - since).total_seconds()

    def _processes(self, workers: list[int]) -> dict[str, list[int]]:
        return {
            "web": [self.web_pid],
            "worker": workers,
            "PostgreSQL": [self._stage.postgres_pid],
            "Redis": [self._stage.redis_pid],
            "sink": [self._stage.sink.pid],
        }


def _shares(used: dict[str, float], number: int) -> dict[str, float]:
    """Return the processor time of each process, and of all, for one message."""
    each = {f"CPU of {name}, µs/message": 1e6 * spent / number for name, spent in used.items()}
    return each | {"CPU of all, µs/message": sum(each.values())}
