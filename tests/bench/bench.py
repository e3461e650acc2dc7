"""Let all contenders take turns on one stage."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable

from tests.bench import full_table
from tests.bench.check import check
from tests.bench.goals import SINGLE
from tests.bench.keys import FAR, SIGNED, Keys
from tests.bench.pixels import Pixels
from tests.bench.product import WORKERS, Product
from tests.bench.profile import LONG, Profile
from tests.bench.report import Report
from tests.bench.stage import Stage
from tests.bench.yardsticks.django_post_office import PostOffice
from tests.bench.yardsticks.empty_gif import EmptyGif
from tests.bench.yardsticks.empty_view import EmptyView
from tests.bench.yardsticks.naive_pipeline import NaivePipeline
from tests.bench.yardsticks.raw_copy import raw_copy
from tests.bench.yardsticks.smtp_source import smtp_source
from tests.rig.servers import redis
from tests.sink import Sink

CAPACITY_SHARE = 0.6
IDLE_PER_SECOND = 10
FILLED_PER_MINUTE = 600_000  # messages of the past; a guess for two cores

Contenders = dict[str, Callable[[], dict[str, float]]]


class Bench:
    """BillionMail and its yardsticks, and what they measured."""

    def __init__(self, stage: Stage, *, checking_sink: Sink, profile: Profile) -> None:
        self.report = Report()
        self._began = time.monotonic()
        self._stage = stage
        self._profile = profile
        self._checking_sink = checking_sink
        self._keys = _prepare(stage, checking_port=checking_sink.port)
        self._old_database = stage.create_database("long_past", like="billionmail")
        self._post_office = PostOffice(stage)
        self._naive = NaivePipeline(stage)
        self._product = Product(stage=stage, database=stage.database, keys=self._keys)

    def run(self) -> None:
        """Check, then measure one part after the other."""
        profile = self._profile
        with self._product.web(), EmptyView(self._stage).running() as empty_view:
            size = check(
                self._product,
                self._checking_sink,
                messages=profile.checked,
                dkim_dns_value=self._keys.dkim_dns_value,
            )
            print(
                f"Checked: all arrived once and read as they should; {size:,} bytes each.",
                flush=True,
            )
            self._take_turns(self._contenders(profile.warm_up(), empty_view), "warm-up")
            self.report.figures.clear()
            for number in range(1, profile.rounds + 1):
                label = f"round {number}/{profile.rounds}"
                self._take_turns(self._contenders(profile, empty_view), label)
            self._pixels()
            self._long_past()
            self._long_queues()
        self._latencies()

    def _contenders(self, profile: Profile, empty_view: EmptyView) -> Contenders:
        """Return who takes part in each round; `goals` compares them by these names."""
        ours, sink = self._product, self._stage.sink
        return {
            "smtp-source": lambda: smtp_source(sink, messages=4 * profile.messages),
            "full queue": lambda: ours.deliver(profile.messages),
            "batch API to sink": lambda: ours.end_to_end(profile.messages),
            "full queue, DKIM": lambda: ours.deliver(profile.messages, key=SIGNED),
            "full queue, one worker": lambda: ours.deliver(profile.messages, workers=1),
            **{
                f"queue of {number:,}": lambda number=number: ours.deliver(number)  # type: ignore[misc]
                for number in profile.queued
                if number < LONG
            },
            "post_office": lambda: self._post_office.deliver(profile.few),
            "naive pipeline": lambda: self._naive.end_to_end(profile.load_seconds),
            "single sends to sink": lambda: ours.single_end_to_end(profile.load_seconds),
            "empty view": lambda: empty_view.load(profile.load_seconds),
            "send endpoint": lambda: ours.single_accept(profile.load_seconds),
            "batch endpoint": lambda: ours.bulk_accept(profile.messages),
            # After the batch endpoint: it copies one of its rows.
            "raw COPY": lambda: raw_copy(self._stage.database, rows=profile.messages),
            "smtp-source, far": lambda: smtp_source(sink, messages=profile.few, is_far=True),
            "full queue, far": lambda: ours.deliver(profile.few, key=FAR),
        }

    def _pixels(self) -> None:
        """Compare the pixel with one that writes to the database, in turns."""
        seconds = self._profile.load_seconds
        with (
            Pixels(self._stage).running() as pixels,
            EmptyGif(self._stage).running() as empty_gif,
        ):
            contenders = pixels | {"empty_gif": empty_gif.load}
            for number in range(self._profile.rounds + 1):
                self._take_turns(
                    {name: lambda load=load: load(seconds) for name, load in contenders.items()},  # type: ignore[misc]
                    f"opens {number}/{self._profile.rounds}",
                )

    def _long_queues(self) -> None:
        """Drain each long queue once."""
        rate = self.report.medians["full queue: messages/s"]
        for number in self._profile.queued:
            if number < LONG:
                continue
            if self._is_too_late(f"a queue of {number:,}", minutes=number / rate / 60):
                continue
            self._take_turns(
                {
                    "smtp-source": self._smtp_source,
                    f"queue of {number:,}": lambda number=number: self._product.deliver(number),  # type: ignore[misc]
                },
                "once",
            )

    def _is_too_late(self, what: str, *, minutes: float) -> bool:
        """Tell, aloud, whether something that takes so long must be left out."""
        ends = (time.monotonic() - self._began) / 60 + minutes
        if ends > self._profile.minutes:
            print(f"Left out: {what} would end after {ends:.0f} minutes; see --minutes.")
        return ends > self._profile.minutes

    def _smtp_source(self) -> dict[str, float]:
        return smtp_source(self._stage.sink, messages=4 * self._profile.messages)

    def _long_past(self) -> None:
        """Compare the drain rate in a table full of old messages with that in an empty one."""
        rows, messages = self._profile.table_rows, self._profile.messages
        rate = self.report.medians["full queue: messages/s"]
        minutes = rows / FILLED_PER_MINUTE + 2 * self._profile.rounds * messages / rate / 60
        if not rows or self._is_too_late("a long past", minutes=minutes):
            return
        old = Product(
            stage=self._stage, database=self._old_database, keys=self._keys, keeps_rows=True
        )
        with old.web():
            old.deliver(100)
            full_table.fill(self._old_database, rows=rows)
            for number in range(1, self._profile.rounds + 1):
                self._take_turns(
                    {
                        "full queue, long past": lambda: old.deliver(messages),
                        "full queue, beside it": lambda: self._product.deliver(messages),
                    },
                    f"past {number}/{self._profile.rounds}",
                )

    def _latencies(self) -> None:
        """Measure with requests that arrive at fixed times; at last without Redis."""
        capacity = self.report.medians[SINGLE]
        seconds = self._profile.latency_seconds
        with contextlib.ExitStack() as stack, contextlib.ExitStack() as servers:
            broker = servers.enter_context(redis())
            product = Product(
                stage=self._stage, database=self._stage.database, keys=self._keys, broker=broker
            )
            stack.enter_context(product.web())
            _, gate = stack.enter_context(product.workers(WORKERS))
            gate.rollback()

            def arrivals(per_second: float) -> dict[str, float]:
                return product.arrivals(per_second=per_second, seconds=seconds)

            arrivals(IDLE_PER_SECOND)  # the web processes connect
            self._take_turns(
                {
                    "60 % load": lambda: arrivals(CAPACITY_SHARE * capacity),
                    "idle": lambda: arrivals(IDLE_PER_SECOND),
                },
                "arrivals",
            )
            servers.close()
            self._take_turns({"Redis stopped": lambda: arrivals(IDLE_PER_SECOND)}, "arrivals")

    def _take_turns(self, contenders: Contenders, label: str) -> None:
        for name, contend in contenders.items():
            began = time.monotonic()
            figures = contend()
            self.report.add(name, figures)
            first, value = next(iter(figures.items()))
            took = time.monotonic() - began
            print(f"{label:>10}  {name:28} {value:>12,.1f} {first:20} ({took:.0f} s)", flush=True)


def _prepare(stage: Stage, *, checking_port: int) -> Keys:
    ports = f"port={stage.sink.port}, far_port={stage.sink.far_port}, checking_port={checking_port}"
    stage.run("manage.py", "migrate", **stage.environment)
    script = f"from tests.bench.fixtures import prepare; prepare({ports})"
    return Keys(**json.loads(stage.shell("manage.py", script=script, **stage.environment)))
