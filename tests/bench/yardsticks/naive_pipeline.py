"""Run the pipeline of `naive`: each mail is one DRF request, one Celery task, one connection."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import psycopg

from tests.bench import load
from tests.bench.meter import metered
from tests.bench.settling import settled
from tests.bench.stage import Stage
from tests.processes import program, wait_until

PROJECT = "tests.bench.yardsticks.naive"
PROCESSES = 2


class NaivePipeline:
    """Its web server and worker, beside ours, in a database of its own on the same server."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._database = stage.create_database("naive")
        self._environment = {
            "DJANGO_SETTINGS_MODULE": f"{PROJECT}.settings",
            "NAIVE_DATABASE_URL": self._database,
            "REDIS_URL": stage.broker,
            "SINK_PORT": str(stage.sink.port),
        }
        stage.run("-m", "django", "migrate", "--run-syncdb", **self._environment)

    def end_to_end(self, seconds: float) -> dict[str, float]:
        """Accept mails for some seconds and send at once, until all have left."""
        self._stage.forget_tasks()
        with psycopg.connect(self._database, autocommit=True) as connection:
            connection.execute("TRUNCATE naive_mail")
        with (
            self._stage.gunicorn(f"{PROJECT}.wsgi", ready="/", **self._environment) as web,
            self._worker() as worker,
            psycopg.connect(self._database, autocommit=True) as connection,
            self._stage.sink.expecting(None) as expected,
        ):
            with metered({"all": self._processes(web.pid, worker)}) as used:
                load.post_mails(
                    web.url + "/send", headers={}, seconds=seconds, directory=self._stage.directory
                )
                number = settled(lambda: _stored_and_waiting(connection))
            expected.append(number)
            (seconds_taken,) = connection.execute(
                "SELECT extract(epoch FROM max(sent_at) - min(created_at)) FROM naive_mail"
            ).fetchone() or (0,)
        return {
            "messages/s": number / float(seconds_taken),
            "CPU of all, µs/message": used["all"] / number * 1e6,
        }

    @contextlib.contextmanager
    def _worker(self) -> Iterator[int]:
        arguments = ("-m", "celery", "-A", f"{PROJECT}.celery", "worker",
                     "--pool", "prefork", "--concurrency", str(PROCESSES))  # fmt: skip
        log = self._stage.directory / "naive.log"
        with program(*arguments, log=log, **self._environment) as running:
            wait_until(self._stage.somebody_waits_for_tasks)
            yield running.pid

    def _processes(self, web: int, worker: int) -> list[int]:
        stage = self._stage
        return [web, worker, stage.postgres_pid, stage.redis_pid, stage.sink.pid]


def _stored_and_waiting(connection: psycopg.Connection) -> tuple[int, int]:
    query = "SELECT count(*), count(*) FILTER (WHERE sent_at IS NULL) FROM naive_mail"
    return connection.execute(query).fetchone() or (0, 0)
