"""Say how much is measured."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Profile:
    """Counts of messages: `messages` for what is fast, `few` for yardsticks that are slow.

    `queued`: queue lengths that are drained besides; those of `LONG` or more once. They, and the
    drain beside `table_rows` messages of the past, are left out if they would end after `minutes`.
    """

    rounds: int = 3
    messages: int = 5_000
    few: int = 1_000
    load_seconds: float = 4
    latency_seconds: float = 10
    queued: tuple[int, ...] = (1_000, 10_000, 100_000)
    table_rows: int = 1_000_000
    checked: int = 400
    minutes: float = 12

    def warm_up(self) -> Profile:
        """Return a round that only wakes everybody up."""
        return replace(self, messages=200, few=100, load_seconds=1, queued=())


LONG = 50_000
QUICK = Profile(
    rounds=1,
    messages=1_000,
    few=300,
    load_seconds=2,
    latency_seconds=4,
    queued=(),
    table_rows=50_000,
    checked=200,
    minutes=6,
)


def from_command_line() -> Profile:
    """Return what the arguments ask for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one small round, in two minutes")
    parser.add_argument("--rounds", type=int, help="how often each contender runs (3)")
    parser.add_argument("--messages", type=int, help="messages in each run (5,000)")
    parser.add_argument("--queued", type=_numbers, help="queue lengths (1000,10000,100000)")
    parser.add_argument("--table-rows", type=int, help="messages of the past (1,000,000; 0: none)")
    parser.add_argument(
        "--minutes", type=float, help="leave out what would end later than that (12)"
    )
    given = vars(parser.parse_args())
    profile = QUICK if given.pop("quick") else Profile()
    return replace(profile, **{name: value for name, value in given.items() if value is not None})


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(",") if number)
