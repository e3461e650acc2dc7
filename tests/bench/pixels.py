"""Measure how fast mails can be opened; by itself: `python -m tests.bench.pixels --rounds 3`."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Iterator
from uuid import uuid4

import psycopg

from tests.bench import load
from tests.bench.meter import metered
from tests.bench.report import Report
from tests.bench.stage import Served, Stage, stage
from tests.bench.yardsticks.empty_gif import EmptyGif
from tests.bench.yardsticks.empty_view import EmptyView
from tracking import tokens

TABLE = (
    "CREATE TABLE IF NOT EXISTS bench_hit (id bigserial PRIMARY KEY, message_id uuid NOT NULL,"
    " occurred_at timestamptz NOT NULL DEFAULT now(), ip text, user_agent text)"
)
WITH_INSERT = "tests.bench.yardsticks.pixel_with_insert"


class Pixels:
    """The pixel of BillionMail, and one that writes to the database before it answers.

    The messages are not ours, so that storing what was spooled costs next to nothing: it is
    bulk work of the event log, and no part of what a recipient waits for.
    """

    def __init__(self, on: Stage) -> None:
        self._stage = on
        key = on.environment["SIGNING_KEYS"]
        token = tokens.sign_message(uuid4(), b"sixbyt", key=key).token
        self._path = f"/t/o/{token}.gif"
        with psycopg.connect(on.database, autocommit=True) as connection:
            connection.execute(TABLE)

    @contextlib.contextmanager
    def running(self) -> Iterator[dict[str, Callable[[float], dict[str, float]]]]:
        """Serve both; yield what each measures, by the name that `goals` knows."""
        gunicorn = self._stage.gunicorn
        with (
            gunicorn("billionmail.wsgi", ready="/healthz") as ours,
            gunicorn(WITH_INSERT, ready="/", DJANGO_SETTINGS_MODULE=WITH_INSERT) as theirs,
        ):
            yield {
                "pixel": lambda seconds: self._load(ours, seconds),
                "pixel with INSERT": lambda seconds: self._load(theirs, seconds),
            }

    def _load(self, web: Served, seconds: float) -> dict[str, float]:
        with metered({"web": [web.pid], "postgres": [self._stage.postgres_pid]}) as used:
            figures = load.get(
                web.url + self._path, seconds=seconds, directory=self._stage.directory
            )
        count = figures["requests/s"] * seconds
        return figures | {f"CPU of {who}, µs": 1e6 * cpu / count for who, cpu in used.items()}


def main() -> None:
    """Print the figures and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4)
    given = parser.parse_args()
    report = Report()
    with stage() as servers:
        servers.run("manage.py", "migrate", **servers.environment)
        with (
            Pixels(servers).running() as pixels,
            EmptyView(servers).running() as empty_view,
            EmptyGif(servers).running() as empty_gif,
        ):
            contenders = pixels | {"empty view": empty_view.load, "empty_gif": empty_gif.load}
            for contend in contenders.values():
                contend(1)  # everybody wakes up
            for _ in range(given.rounds):
                for name, contend in contenders.items():
                    report.add(name, contend(given.seconds))
    report.show()


if __name__ == "__main__":
    main()
