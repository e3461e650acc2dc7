"""Print what was measured, and store it."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.bench.goals import GOALS

RESULTS = Path("var/bench.json")
TABLE = Path("var/bench.md")
COMPARED = ("figure", "yardstick")
SHARE, SHARE_UNIT = ": CPU of ", ", µs/message"


@dataclass
class Report:
    """Every value of every figure, in the order of measuring."""

    figures: dict[str, list[float]] = field(default_factory=dict)

    def add(self, contender: str, figures: Mapping[str, float]) -> None:
        """Keep the figures of one run."""
        for name, value in figures.items():
            self.figures.setdefault(f"{contender}: {name}", []).append(value)

    @property
    def medians(self) -> dict[str, float]:
        """The median of each figure."""
        return {name: statistics.median(values) for name, values in self.figures.items()}

    def missed(self) -> list[str]:
        """Return the names of the goals that were measured and not reached."""
        return [row["name"] for row in self._rows() if row["verdict"] == "BELOW"]

    def show(self) -> None:
        """Print the medians with their spread, then the ratios beside what is asked."""
        print(f"\n{'figure':58} {'median':>10} {'least':>10} {'most':>10}")
        for name, values in self.figures.items():
            if SHARE not in name:
                shown = (statistics.median(values), min(values), max(values))
                print(f"{name:58} " + " ".join(f"{value:10,.1f}" for value in shown))
        print("\nprocessor time per message, µs")
        for contender, shares in self._shares().items():
            print(f"{contender:30} " + ", ".join(f"{who} {us:,.0f}" for who, us in shares.items()))
        print(f"\n{'ratio':50} {'value':>9} {'must':>9} {'stretch':>9}")
        for row in self._rows():
            asked = " ".join(_asked(row[name]) for name in ("must", "stretch"))
            print(f"{row['name']:50} {row['value']:9,.2f} {asked}  {row['verdict']}")

    def store(self, profile: Mapping[str, object]) -> None:
        """Write everything to `RESULTS`."""
        RESULTS.parent.mkdir(exist_ok=True)
        stored = {
            "measured_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "profile": profile,
            "figures": self.figures,
            "ratios": list(self._rows()),
        }
        RESULTS.write_text(json.dumps(stored, indent=2, ensure_ascii=False) + "\n")
        TABLE.write_text("\n".join(self._table()) + "\n")
        print(f"\nStored in {RESULTS}; as a table for docs/performance.md in {TABLE}")

    def _table(self) -> Iterable[str]:
        """Return the ratios as lines of Markdown."""
        medians = self.medians
        yield "| ratio | measured | must | stretch | figure | yardstick |"
        yield "|---|---|---|---|---|---|"
        for row in self._rows():
            parts = [f"{medians[row[name]]:,.0f}" if row[name] else "" for name in COMPARED]
            asked = [_asked(row[name]).strip() for name in ("must", "stretch")]
            yield "| " + " | ".join([row["name"], f"{row['value']:,.2f}", *asked, *parts]) + " |"

    def _shares(self) -> dict[str, dict[str, float]]:
        """Return, by contender, the processor time of each of its processes."""
        shares: dict[str, dict[str, float]] = {}
        for name, value in self.medians.items():
            contender, found, process = name.partition(SHARE)
            if found:
                shares.setdefault(contender, {})[process.removesuffix(SHARE_UNIT)] = value
        return shares

    def _rows(self) -> Iterable[dict]:
        medians = self.medians
        for goal in GOALS:
            value = goal.value(medians)
            if value is not None:
                yield asdict(goal) | {"value": value, "verdict": goal.verdict(value)}


def _asked(goal: float | None) -> str:
    return f"{'':9}" if goal is None else f"{goal:9,.2f}"
