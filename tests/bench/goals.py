"""Say what figures are compared with, and what is asked of the ratios."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Goal:
    """A figure in units of its yardstick, both of the same run; `stretch` is where we want to be.

    `yardstick` empty: the figure itself counts. `must` None: nothing is asked, it is only shown.
    """

    name: str
    figure: str
    yardstick: str = ""
    must: float | None = None
    stretch: float | None = None
    is_less_better: bool = False

    def value(self, medians: Mapping[str, float]) -> float | None:
        """Return the ratio; None when a part of it was not measured."""
        if self.figure not in medians or (self.yardstick and self.yardstick not in medians):
            return None
        return medians[self.figure] / (medians[self.yardstick] if self.yardstick else 1)

    def verdict(self, value: float) -> str:
        """Tell how a ratio stands beside what is asked."""
        if self.must is None:
            return ""
        if self.stretch is not None and self._reaches(value, self.stretch):
            return "stretch"
        return "must" if self._reaches(value, self.must) else "BELOW"

    def _reaches(self, value: float, goal: float) -> bool:
        return value <= goal if self.is_less_better else value >= goal


SOURCE = "smtp-source: messages/s"
QUEUE = "full queue: messages/s"
BATCH = "batch API to sink: messages/s"
SINGLE = "single sends to sink: messages/s"
NAIVE = "naive pipeline: messages/s"
CPU = "CPU of all, µs/message"
LESS = {"is_less_better": True}

GOALS = [
    Goal("full queue ÷ smtp-source", QUEUE, SOURCE, 0.30, 0.45),
    Goal("batch API to sink ÷ smtp-source", BATCH, SOURCE, 0.25, 0.40),
    Goal("batch API to sink ÷ naive pipeline", BATCH, NAIVE, 12, 18),
    Goal("full queue ÷ post_office's send_queued_mail", QUEUE, "post_office: messages/s", 4, 6),
    Goal("batch API to sink ÷ post_office's both steps", BATCH,
         "post_office: end to end, messages/s"),
    Goal("CPU per message, all, ÷ smtp-source and sink", f"batch API to sink: {CPU}",
         f"smtp-source: {CPU}", 3.0, 2.0, **LESS),
    Goal("20 ms away: full queue ÷ smtp-source", "full queue, far: messages/s",
         "smtp-source, far: messages/s", 1.3, 2),
    Goal("send endpoint ÷ empty view", "send endpoint: requests/s", "empty view: requests/s",
         0.25, 0.45),
    Goal("send endpoint's p99 ÷ empty view's", "send endpoint: p99, ms", "empty view: p99, ms",
         5, 2, **LESS),
    Goal("single sends to sink ÷ naive pipeline", SINGLE, NAIVE, 4, 8),
    Goal("batch endpoint ÷ raw COPY", "batch endpoint: rows/s", "raw COPY: rows/s", 0.20, 0.35),
    Goal("pixel ÷ a pixel with INSERT", "pixel: requests/s", "pixel with INSERT: requests/s",
         2.3, 4),
    Goal("pixel ÷ nginx's empty_gif", "pixel: requests/s", "empty_gif: requests/s", 0.04, 0.08),
    Goal("pixel ÷ empty view", "pixel: requests/s", "empty view: requests/s"),
    Goal("full queue, DKIM ÷ no DKIM", "full queue, DKIM: messages/s", QUEUE),
    Goal("full queue ÷ that with one worker", QUEUE, "full queue, one worker: messages/s"),
    Goal("a queue of 1,000 ÷ smtp-source", "queue of 1,000: messages/s", SOURCE),
    Goal("a queue of 10,000 ÷ smtp-source", "queue of 10,000: messages/s", SOURCE),
    Goal("a queue of 100,000 ÷ smtp-source", "queue of 100,000: messages/s", SOURCE),
    Goal("drain rate, long past ÷ empty table", "full queue, long past: messages/s",
         "full queue, beside it: messages/s", 0.9, 1.0),
    Goal("60 %: acceptance p99, ms", "60 % load: acceptance p99, ms", "", 50, 25, **LESS),
    Goal("60 %: to the attempt p99, ms", "60 % load: to the attempt p99, ms"),
    Goal("idle: acceptance p99, ms", "idle: acceptance p99, ms"),
    Goal("idle: to the attempt p50, ms", "idle: to the attempt p50, ms", "", 200, 50, **LESS),
    Goal("idle: to the attempt p99, ms", "idle: to the attempt p99, ms", "", 1_000, 200, **LESS),
    Goal("Redis stopped: to the attempt p99, ms", "Redis stopped: to the attempt p99, ms", "",
         3_000, 1_500, **LESS),
]  # fmt: skip
