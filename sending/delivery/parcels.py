"""Hold what travels between the run, which knows the database, and the lanes, which do not."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from typing import Protocol
from uuid import UUID

from sending.errors import LeaseLost, TransportError
from sending.models import Priority, Route
from sending.outgoing import Outgoing
from sending.transports import Receipt


class Stopwatch:
    """Tell the database's time without asking it again; a jump of this host's clock is harmless."""

    def __init__(self, at: datetime) -> None:
        self._at = at
        self._started = time.monotonic()

    def now(self) -> datetime:
        """Return the time by the clock that `at` was read from."""
        return self._at + timedelta(seconds=time.monotonic() - self._started)


@dataclass(frozen=True, slots=True, eq=False)
class Parcel:
    """One outgoing on its way through a lane; `policy` decides should its answer be lost."""

    outgoing: Outgoing
    key_id: UUID
    priority: int
    attempt_number: int
    policy: str
    lanes: Lanes
    stopwatch: Stopwatch

    @property
    def claim(self) -> tuple[UUID, int]:
        """What the ledger knows it by: the message's id and the number of the claim."""
        return self.outgoing.id, self.outgoing.claim

    @property
    def route(self) -> Route:
        """The way that it takes."""
        return self.lanes.route


@dataclass(slots=True, eq=False)
class Result:
    """What a lane came back with: `answer` is an acceptance, or why there is none.

    `is_handed_off`: the body may have gone out. `is_recorded`: the ledger has it already, though
    what follows from it may be still to do.
    """

    parcel: Parcel
    started_at: datetime
    duration_ms: int
    is_handed_off: bool
    answer: Receipt | TransportError | LeaseLost | Exception
    is_recorded: bool = False


class HandoffRequest(Protocol):
    """A lane's question whether it may send a body now; the run answers many at once."""

    @property
    def parcel(self) -> Parcel:
        """What it is about."""

    def answer(self, *, is_granted: bool) -> None:
        """Let the lane go on, with the body or without."""


class WaitingLine:
    """Parcels that no connection has begun with, those of single mails in front."""

    def __init__(self) -> None:
        self._lines: tuple[deque[Parcel], ...] = tuple(deque() for _ in Priority)

    def __len__(self) -> int:
        return sum(map(len, self._lines))

    def __bool__(self) -> bool:
        return any(self._lines)

    def append(self, parcel: Parcel) -> None:
        """Put a parcel behind those of its priority."""
        self._lines[parcel.priority].append(parcel)

    def put_back(self, parcel: Parcel) -> None:
        """Put a parcel before those of its priority."""
        self._lines[parcel.priority].appendleft(parcel)

    def take(self) -> Parcel:
        """Return the next parcel; raises IndexError when there is none."""
        for line in self._lines:
            if line:
                return line.popleft()
        raise IndexError("no parcel waits")

    def take_all(self) -> list[Parcel]:
        """Return all parcels."""
        parcels = list(chain(*self._lines))
        for line in self._lines:
            line.clear()
        return parcels

    def keys(self) -> set[UUID]:
        """Return the keys of the parcels."""
        return {parcel.key_id for parcel in chain(*self._lines)}


class Desk:
    """Where the lanes ask and bring, in the thread of the run."""

    def __init__(self) -> None:
        self.requests: list[HandoffRequest] = []
        self.results: list[Result] = []


class Lanes(Protocol):
    """The connections of one route; every call comes from the thread of the run."""

    route: Route

    def serves(self, route: Route) -> bool:
        """Tell whether the lanes were opened for the route as it is configured now."""

    def put(self, parcel: Parcel) -> None:
        """Queue a parcel for the next free connection."""

    def waiting_count(self) -> int:
        """Return how many parcels no connection has begun with."""

    def waiting_keys(self) -> set[UUID]:
        """Return the keys of the parcels that no connection has begun with."""

    def take_back(self) -> list[Parcel]:
        """Return the parcels that no connection has begun with."""

    def look_at_clock(self) -> None:
        """Give up what has been silent for too long; called several times a second."""

    def retire(self) -> None:
        """Let every connection close after the parcels that are queued already."""

    def close(self) -> None:
        """Retire, and wait for the connections to close; no parcel may be under way."""

    def is_finished(self) -> bool:
        """Tell whether nothing is open or under way any more."""
