"""Set up the whole product on private servers, once for many rounds."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

from tests.faults.crew import Crew
from tests.faults.daemon import Daemon
from tests.faults.hop import NextHop
from tests.faults.provider import Provider
from tests.processes import KEPT, ROOT, answers, program, wait_until
from tests.rig.servers import find, postgres, redis
from tests.sink import free_port

SECRETS = ("SECRET_KEY", "API_KEY_HASH_KEY", "ENCRYPTION_KEYS", "SIGNING_KEYS")
LEASE_SECONDS = 2
WORKER = "worker"  # how the workers' connections are named in the database
# What a live worker may need between the hand-off and the record: the body and the answer to it
# (each the route's data_timeout_seconds) and some time to write.
HANDOFF_SECONDS = 9


class Stage:
    """PostgreSQL, Redis, a next hop, a web server; and the workers of each round.

    The harness looks at the database with a connection of its own that is opened for each
    question, because the server comes and goes.
    """

    def __init__(self, directory: Path, *, database_url: str, redis_url: str) -> None:
        self.directory = directory
        self._host = database_url.rpartition("host=")[2]
        self._redis_port = redis_url.rpartition(":")[2].partition("/")[0]
        self.hop = NextHop(directory)
        self.provider = Provider(record=self.hop.record)
        self.environment = {name: secrets.token_urlsafe(48) for name in SECRETS} | {
            "DATA_DIR": str(directory),
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "LEASE_SECONDS": str(LEASE_SECONDS),
            "SWEEP_SECONDS": "0.2",
            "LOG_LEVEL": "WARNING",
            "WEB_WORKERS": "1",
            "WEB_THREADS": "4",
            "EHLO_NAME": "sender.example",
        }
        self.postgres = self._postgres_daemon()
        self.redis = self._redis_daemon()
        self.url = ""
        self.secrets: dict[str, str] = {}

    # --- The database, seen from outside ----------------------------------------------------

    def rows(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Run one statement as the superuser and return its rows."""
        with psycopg.connect(
            host=self._host, user="postgres", dbname="billionmail", autocommit=True
        ) as connection:
            connection.execute("SET default_transaction_read_only = off")
            cursor = connection.execute(statement.encode(), parameters)
            return cursor.fetchall() if cursor.description else []

    def postgres_is_ready(self) -> bool:
        """Tell whether it takes connections."""
        try:
            return self.rows("SELECT 1") == [(1,)]
        except psycopg.OperationalError:
            return False

    def handed_off(self) -> set[str]:
        """Return the recipients whose message may be at the next hop, its answer not written."""
        found = self.rows(
            "SELECT recipient FROM sending_message"
            " WHERE status = 'sending' AND handed_off_at IS NOT NULL"
        )
        return {row[0] for row in found}

    def at_work(self) -> int:
        """Return how many messages are not at rest."""
        return self.rows(
            "SELECT count(*) FROM sending_message WHERE status IN ('queued', 'sending', 'deferred')"
        )[0][0]

    def connected_workers(self) -> int:
        """Return how many connections to the database the workers have."""
        return self.rows(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s", WORKER
        )[0][0]

    def let_time_pass(self) -> None:
        """Bring the next tries forward, and the end of leases whose hand-off is long over.

        Only waiting is cut short: a lease is left alone while its worker could still be at work.
        Who asked for a slower pace is not heeded any longer.
        """
        self.rows("DELETE FROM sending_slowdown")
        self.rows(
            "UPDATE sending_message SET next_attempt_at = now()"
            " WHERE status IN ('queued', 'deferred') AND next_attempt_at > now()"
        )
        self.rows(
            "UPDATE sending_message SET lease_until = now() WHERE status = 'sending'"
            " AND lease_until > now() AND handed_off_at < now() - make_interval(secs => %s)",
            HANDOFF_SECONDS,
        )

    def bury(self) -> None:
        """End the leases of everybody; only when nobody is alive."""
        self.rows(
            "UPDATE sending_message SET lease_until = now()"
            " WHERE status = 'sending' AND lease_until > now()"
        )

    # --- Servers ----------------------------------------------------------------------------

    def bring_back_postgres(self) -> None:
        """Start it again after its end."""
        self.postgres.start_again(is_ready=self.postgres_is_ready)

    def bring_back_redis(self) -> None:
        """Start it again after its end; it remembers nothing."""
        self.redis.start_again(is_ready=self._redis_is_ready)

    def ask_redis(self, *words: str) -> str:
        """Send it one command."""
        asked = subprocess.run(
            [find("redis-cli"), "-p", self._redis_port, *words],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        return asked.stdout.strip()

    def _redis_is_ready(self) -> bool:
        return self.ask_redis("PING") == "PONG"

    def _redis_daemon(self) -> Daemon:
        lines = self.ask_redis("INFO", "server").splitlines()
        pid = next(int(line.partition(":")[2]) for line in lines if line.startswith("process_id:"))
        options = ("--bind", "127.0.0.1", "--port", self._redis_port, "--save", "")
        return Daemon(pid, command=(find("redis-server"), *options))

    def _postgres_daemon(self) -> Daemon:
        pid = int((Path(self._host) / "cluster/postmaster.pid").read_text().split()[0])
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
        return Daemon(pid, command=words[:-1])  # the last one is empty

    # --- The product ------------------------------------------------------------------------

    def seed(self) -> None:
        """Make tables, routes and keys."""
        ports = (str(self.hop.port), str(self.provider.port))
        made = subprocess.run(
            [sys.executable, "-m", "tests.faults.seed", *ports],
            cwd=ROOT,
            env={name: os.environ[name] for name in KEPT if name in os.environ}
            | {"ENV_FILE": ""}
            | self.environment,
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
        self.secrets = json.loads(made.stdout)

    @contextlib.contextmanager
    def web(
        self, *, ready: str = "/readyz", **environment: str
    ) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
        """Serve the API at the address that is yielded, once `ready` answers 200 there."""
        address = f"127.0.0.1:{free_port()}"
        own = {"BIND": address, "PUBLIC_URL": f"http://{address}"} | environment
        arguments = ("-m", "gunicorn", "billionmail.wsgi", "-c", "billionmail/gunicorn.py")
        log = self.directory / "web.log"
        with program(*arguments, log=log, **self.environment | own) as running:
            wait_until(lambda: answers(f"http://{address}{ready}"))
            yield f"http://{address}", running

    @contextlib.contextmanager
    def crew(self, **environment: str) -> Iterator[Crew]:
        """Give a round its workers; nobody is started yet."""
        own = {"PUBLIC_URL": self.url, "PGAPPNAME": WORKER}
        log = self.directory / "work.log"
        crew = Crew(log=log, environment=self.environment | own | environment)
        try:
            yield crew
        finally:
            crew.close()

    def clear(self, *, seed: str, delay_ms: float) -> None:
        """Forget every message, and have all servers up and calm."""
        if not self._redis_is_ready():
            self.bring_back_redis()
        if not self.postgres_is_ready():
            self.bring_back_postgres()
        self.ask_redis("FLUSHALL")
        self.rows(
            "TRUNCATE sending_message, sending_event, sending_attempt, sending_suppression,"
            " sending_slowdown CASCADE"
        )
        self.rows(
            "UPDATE sending_route SET down_until = NULL, down_reason = '',"
            " paused_at = NULL, paused_until = NULL, paused_reason = ''"
        )
        self.hop.end()
        self.hop.be()
        self.hop.forget()
        self.provider.forget()
        self.hop.start(seed=seed, delay_ms=delay_ms)


@contextlib.contextmanager
def stage(directory: Path) -> Iterator[Stage]:
    """Set everything up in this directory, and leave no process behind."""
    with contextlib.ExitStack() as stack:
        running = Stage(
            directory,
            database_url=stack.enter_context(postgres()),
            redis_url=stack.enter_context(redis()),
        )
        for each in (running.postgres, running.redis, running.hop, running.provider):
            stack.callback(each.close)
        running.seed()
        running.url, _ = stack.enter_context(running.web())
        yield running
