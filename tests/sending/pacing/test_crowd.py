"""Eight worker processes and one limit: never exceeded, and used."""

from __future__ import annotations

import subprocess
import sys
import time
from bisect import bisect_left

import pytest
from redis import Redis

from sending.pacing.buckets import make_bucket
from tests.processes import ROOT, wait_until
from tests.redis_server import RedisServer

pytestmark = pytest.mark.integration

WORKERS = 8
SECONDS = 8
PER_SECOND = 100
PROGRAM = ROOT / "tests/sending/pacing/worker.py"


class Gone:
    """A message that went at some time between two moments, after some claims."""

    def __init__(self, line: str) -> None:
        before, after, claims = line.split()
        self.before, self.after, self.claims = float(before), float(after), int(claims)


def run_workers(server: RedisServer, *, flush_after: float | None = None) -> list[Gone]:
    """Run eight workers over one backlog; perhaps empty Redis of the buckets meanwhile."""
    client = Redis.from_url(server.url)
    client.zadd("backlog", {f"m{number}": 0 for number in range(2 * PER_SECOND * SECONDS)})
    workers = subprocess.Popen(
        [sys.executable, str(PROGRAM), server.url, str(PER_SECOND), str(WORKERS)],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "DJANGO_SETTINGS_MODULE": "tests.settings"},
        stdout=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: client.get("ready") == str(WORKERS).encode())
    client.set("ends_at", time.time() + SECONDS)
    if flush_after is not None:
        time.sleep(flush_after)
        client.delete(*client.keys("{billionmail:buckets}*"))
    output = workers.communicate(timeout=60)[0]
    assert workers.returncode == 0
    return [Gone(line) for line in output.splitlines()]


def worst_excess(gone: list[Gone], *, burst: float) -> float:
    """Return by how many messages the limit was exceeded, in the window where that was worst.

    A message counts in a window when it surely went within it.
    """
    worst = -burst
    for start in sorted({one.before for one in gone}):
        ends = sorted(one.after for one in gone if one.before >= start)
        for end in set(ends):
            inside = bisect_left(ends, end + 1e-9)
            worst = max(worst, inside - PER_SECOND * (end - start) - burst)
    return worst


def test_eight_workers_never_exceed_the_limit_and_use_it(redis_server: RedisServer) -> None:
    gone = run_workers(redis_server)
    bucket = make_bucket("crowd", per_second=PER_SECOND, burst=None)
    assert worst_excess(gone, burst=bucket.burst) <= 0
    seconds = max(one.after for one in gone) - min(one.before for one in gone)
    assert len(gone) >= 0.95 * PER_SECOND * seconds
    # Each message waits in its place instead of asking again and again.
    assert sum(one.claims for one in gone) / len(gone) < 2.5


def test_empty_redis_in_the_middle_opens_no_gate(redis_server: RedisServer) -> None:
    gone = run_workers(redis_server, flush_after=SECONDS / 2)
    bucket = make_bucket("crowd", per_second=PER_SECOND, burst=None)
    assert worst_excess(gone, burst=bucket.burst + 1) <= 0
