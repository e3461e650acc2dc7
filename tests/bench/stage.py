"""Set up what all contenders share: servers on the loopback, and one way to start programs."""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import redis as redis_client

from tests.bench.sink import SmtpSink
from tests.processes import ROOT, answers, program, wait_until
from tests.rig.servers import postgres, redis
from tests.sink import free_port

PACKAGES = ROOT / "var/yardsticks"  # what tests/bench/requirements.txt asks for


@dataclass(frozen=True)
class Stage:
    """A PostgreSQL whose commits reach the disk, a Redis, an smtp-sink, a directory for logs."""

    directory: Path
    database: str
    broker: str
    sink: SmtpSink
    environment: dict[str, str]

    def database_named(self, name: str) -> str:
        """Return the URL of another database on the same server."""
        return self.database.replace("/billionmail?", f"/{name}?")

    def create_database(self, name: str, *, like: str = "template1") -> str:
        """Create a database, a copy of `like`, and return its URL."""
        with psycopg.connect(self.database_named("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{like}"')
        return self.database_named(name)

    @property
    def postgres_pid(self) -> int:
        """The process whose children serve the connections."""
        home = Path(self.database.partition("host=")[2])
        return int((home / "cluster/postmaster.pid").read_text().split()[0])

    @property
    def redis_pid(self) -> int:
        """The only process of Redis."""
        client: redis_client.Redis = redis_client.Redis.from_url(self.broker)
        return int(client.info("server")["process_id"])

    def forget_tasks(self) -> None:
        """Empty Redis, so that no task of an earlier contender is left to the next."""
        redis_client.Redis.from_url(self.broker).flushall()

    def somebody_waits_for_tasks(self) -> bool:
        """Tell whether a Celery worker has started: it waits at its queue."""
        clients = redis_client.Redis.from_url(self.broker).client_list()
        return any(client["cmd"] == "brpop" for client in clients)

    def run(self, *arguments: str, **environment: str) -> str:
        """Run ``python ARGUMENTS`` to its end and return what it printed."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
        return done.stdout

    def shell(self, *arguments: str, script: str, **environment: str) -> str:
        """Run lines of Python in a Django project; return the last line that they printed.

        `arguments`: how to start the project's manage.py.
        """
        printed = self.run(*arguments, "shell", "-v", "0", "-c", script, **environment)
        return printed.splitlines()[-1]

    @contextlib.contextmanager
    def gunicorn(
        self, application: str, *more: str, ready: str, **environment: str
    ) -> Iterator[Served]:
        """Serve a WSGI application as BillionMail is served, once `ready` answers 200."""
        port = free_port()
        arguments = ("-m", "gunicorn", application, "-c", "billionmail/gunicorn.py", *more)
        settings = self.environment | {"BIND": f"127.0.0.1:{port}", "LOG_LEVEL": "WARNING"}
        log = self.directory / f"web-{application}.log"
        with program(*arguments, log=log, **settings | environment) as running:
            url = f"http://127.0.0.1:{port}"
            wait_until(lambda: answers(url + ready))
            yield Served(url=url, pid=running.pid)


@dataclass(frozen=True)
class Served:
    """A web server: where it answers, and the process whose children do so."""

    url: str
    pid: int


@contextlib.contextmanager
def stage() -> Iterator[Stage]:
    """Run the servers, and leave nothing behind."""
    with (
        tempfile.TemporaryDirectory(prefix="bm-bench-") as name,
        postgres(durable=True) as database,
        redis() as broker,
        SmtpSink(directory=Path(name)).running() as sink,
    ):
        directory = Path(name)
        yield Stage(directory, database, broker, sink, _environment(name, database, broker))


def _environment(directory: str, database: str, broker: str) -> dict[str, str]:
    names = ("SECRET_KEY", "API_KEY_HASH_KEY", "ENCRYPTION_KEYS", "SIGNING_KEYS")
    return {name: secrets.token_urlsafe(48) for name in names} | {
        "ENV_FILE": "",
        "DATA_DIR": directory,
        "DATABASE_URL": database,
        "REDIS_URL": broker,
        "PUBLIC_URL": "https://mail.example.com",
        "ALLOWED_HOSTS": "127.0.0.1",
        "DJANGO_SETTINGS_MODULE": "billionmail.settings",
    }
