"""Be workers that share a backlog: take what is due, ask the buckets, let it go.

Run as a program: ``URL PER_SECOND WORKERS``. They are forked, because eight interpreters take long
to start. Each prints a line for each message that went: between which two moments, and after how
many claims.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from typing import Any

import django
from redis import Redis

django.setup()

from apikeys.pacing import connect  # noqa: E402
from sending.pacing.buckets import Ask, RedisBuckets, make_bucket  # noqa: E402

BACKLOG = "backlog"
LOT = 100
LOCK = multiprocessing.get_context("fork").Lock()


def claim(client: Redis) -> list[Any]:
    """Take hold of due messages that nobody else has."""
    due: list[Any] = client.zrangebyscore(BACKLOG, 0, time.time(), start=0, num=LOT)
    with client.pipeline(transaction=False) as removal:
        for one in due:
            removal.zrem(BACKLOG, one)
        taken = removal.execute()
    return [one for one, is_mine in zip(due, taken, strict=True) if is_mine]


def wait_for_start(client: Redis) -> float:
    """Say that this worker is ready; return when all are to end, once they have begun."""
    client.incr("ready")
    while not (ends_at := client.get("ends_at")):
        time.sleep(0.02)
    return float(ends_at)


def main(url: str, per_second: float, workers: int) -> None:
    """Let the workers work, and tell whether all came to their end."""
    numbers = [_fork(url, per_second) for _ in range(workers)]
    ends = [os.waitpid(number, 0)[1] for number in numbers]
    sys.exit(any(ends))


def _fork(url: str, per_second: float) -> int:
    number = os.fork()
    if number:
        return number
    try:
        work(url, per_second)
    except BaseException:  # the parent must not be continued here, whatever happened
        sys.excepthook(*sys.exc_info())
        os._exit(1)
    os._exit(0)


def work(url: str, per_second: float) -> None:
    """Work until the time is over."""
    client, buckets = connect(url), RedisBuckets(url)
    bucket = make_bucket("crowd", per_second=per_second, burst=None)
    gone: list[str] = []
    ends_at = wait_for_start(client)
    while time.time() < ends_at:
        mine = claim(client)
        if not mine:
            time.sleep(0.05)
            continue
        claims = [client.hincrby("claims", one, 1) for one in mine]
        asks = [Ask((0,), is_returning=number > 1) for number in claims]
        before = time.time()
        answers = buckets.take([bucket], asks)
        after = time.time()
        waiting = {}
        for one, number, (wait, _) in zip(mine, claims, answers, strict=True):
            if wait:
                waiting[one] = after + wait / 1000
            else:
                gone.append(f"{before:.6f} {after:.6f} {number}\n")
        if waiting:
            client.zadd(BACKLOG, waiting)
    # At once for each worker, for all write into the same pipe.
    with LOCK:
        sys.stdout.write("".join(gone))
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))
