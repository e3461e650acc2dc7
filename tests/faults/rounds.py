"""Play one round: mail flows, something breaks, it is mended, and the oracle judges."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random

from tests.faults.crew import Crew
from tests.faults.load import Load
from tests.faults.oracle import Verdict, judge
from tests.faults.stage import Stage
from tests.processes import wait_until

PATIENCE_SECONDS = 90
BOTH = ("retry", "hold")


@dataclass
class Scene:
    """What a fault finds: mail on its way, and dice that fall alike for the same seed.

    A fault adds to `handed_off` the recipients whose message was on the wire when it struck, and
    to `outcomes` the ends that it may lead to.
    """

    stage: Stage
    crew: Crew
    load: Load
    dice: Random
    messages: int
    handed_off: Counter[str] = field(default_factory=Counter)
    outcomes: dict[str, Collection[str]] = field(default_factory=dict)

    def accept(
        self,
        number: int,
        *,
        keys: Sequence[str] = BOTH,
        kind: str = "plain",
        name: str = "Ann",
    ) -> list[str]:
        """Have the API accept this many messages that greet `name`."""
        return self.load.accept(number, keys=keys, kind=kind, name=name)

    def wait_for_flow(self, *, within: float = 0.7) -> None:
        """Wait until a random part of what is still to come, at most `within` of it, arrived."""
        arrived = self.stage.hop.count()
        left = max(0, self.messages - arrived)
        wanted = arrived + self.dice.randint(1, max(1, int(left * within)))
        wait_until(lambda: self.stage.hop.count() >= wanted or not self.stage.at_work())

    def wait_for_more(self, number: int = 1) -> None:
        """Wait until this many more have arrived."""
        wanted = self.stage.hop.count() + number
        wait_until(lambda: self.stage.hop.count() >= wanted or not self.stage.at_work())

    def note_handed_off(self) -> None:
        """Remember who was on the wire: the mail of these may be doubled, or held as unknown."""
        time.sleep(0.2)  # statements that a dead worker has sent still run
        self.handed_off.update(self.stage.handed_off())
        self.outcomes["plain"] = ("sent", "unknown")

    @contextmanager
    def under_load(self) -> Iterator[None]:
        """Keep callers calling meanwhile."""
        over = threading.Event()
        caller = self.load.keep_asking(over, keys=BOTH)
        try:
            yield
        finally:
            over.set()
            caller.join()


@dataclass(frozen=True)
class Fault:
    """Something that breaks. `number` is its row in the table of docs/reliability.md.

    `strike` breaks it and mends it again. `workers` run from the beginning, in `environment`.
    `prepare` accepts the mail of the round; None: plain messages of both policies. The next hop
    takes `delay_ms` for each message, so that the fault finds a queue.
    """

    name: str
    number: str
    strike: Callable[[Scene], None]
    workers: int = 2
    environment: Mapping[str, str] = field(default_factory=dict)
    prepare: Callable[[Scene], None] | None = None
    is_supervised: bool = False
    delay_ms: float = 60


@dataclass
class Outcome:
    """A round that was played."""

    fault: Fault
    seed: str
    verdict: Verdict
    recovered_seconds: float


def play(stage: Stage, fault: Fault, *, seed: str, messages: int = 200) -> Outcome:
    """Play one round of `fault` and return what came of it."""
    stage.clear(seed=seed, delay_ms=fault.delay_ms)
    load = Load(stage)
    with stage.crew(**fault.environment) as crew:
        scene = Scene(stage, crew, load, Random(seed), messages)
        crew.start(fault.workers)
        wait_until(lambda: stage.connected_workers() >= fault.workers)
        if fault.prepare is None:
            scene.accept(messages)
        else:
            fault.prepare(scene)
        fault.strike(scene)
        mended = time.monotonic()
        settle(scene, is_supervised=fault.is_supervised)
        seconds = time.monotonic() - mended
    verdict = judge(stage, load.promises, handed_off=scene.handed_off, outcomes=scene.outcomes)
    verdict.check(
        {str(status) for status in load.promises.answers if status not in (0, 200, 503)},
        "answers of the API other than 200 and 503",
    )
    verdict.check(["503"] * load.promises.hasty, "503 without Retry-After")
    return Outcome(fault, seed, verdict, round(seconds, 1))


def settle(scene: Scene, *, is_supervised: bool = False) -> None:
    """Wait until every message is at rest; waiting times that only wait are cut short."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while scene.stage.at_work() and time.monotonic() < deadline:
        if is_supervised and scene.crew.has_casualties():
            scene.note_handed_off()
            scene.crew.supervise()
        scene.stage.let_time_pass()
        time.sleep(0.25)


def explain(outcome: Outcome) -> str:
    """Return what a failed round says: the broken promises, and how to play it again."""
    lines = [f"{outcome.fault.number} {outcome.fault.name}, seed {outcome.seed}:"]
    lines += [f"  {line}" for line in outcome.verdict.faults]
    lines.append(f"  {outcome.verdict.outcomes}")
    lines.append(
        f"  again: python -m tests.faults --only {outcome.fault.name} --replay {outcome.seed}"
    )
    return "\n".join(lines)
