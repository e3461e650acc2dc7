"""Be one of several workers that share a backlog: take what is due, ask the buckets, let it go.

Run as a program. It prints a line for each message that went: between which two moments, and
after how many claims.
"""

from __future__ import annotations

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


def main(url: str, per_second: float) -> None:
    """Work until the time is over."""
    client, buckets = connect(url), RedisBuckets(url)
    bucket = make_bucket("crowd", per_second=per_second, burst=None)
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
                sys.stdout.write(f"{before:.6f} {after:.6f} {number}\n")
        if waiting:
            client.zadd(BACKLOG, waiting)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
