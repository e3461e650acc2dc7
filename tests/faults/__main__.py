"""Break things for a long time: `python -m tests.faults --rounds 200 --seed 7`.

Prints a line for each round and a table at the end, and writes var/faults.json. Exits with 1 when
a promise was broken.
"""

from __future__ import annotations

import argparse
import json
import secrets
import sys
import tempfile
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from random import Random

from tests.faults import clock
from tests.faults.disk import can_mount
from tests.faults.injections import BY_NAME, FAULTS
from tests.faults.rounds import Fault, Outcome, explain, play
from tests.faults.stage import stage
from tests.processes import ROOT

REPORT = ROOT / "var" / "faults.json"
HEAD = ("fault", "rounds", "accepted", "lost", "duplicated", "allowed", "recovered in s")


def main() -> int:
    """Play the rounds and return 1 when any of them broke a promise."""
    arguments = _arguments()
    dice = Random(arguments.seed)
    chosen = [fault for fault in FAULTS if arguments.only in ("", fault.name, fault.number)]
    impossible = {"disk-full": not can_mount(), "wrong-clocks": not clock.library()}
    chosen = [fault for fault in chosen if not impossible.get(fault.name)]
    print(f"{arguments.rounds} rounds, seed {arguments.seed}", flush=True)
    played: list[Outcome] = []
    with (
        tempfile.TemporaryDirectory(prefix="bm-faults-") as directory,
        stage(Path(directory)) as on,
    ):
        for number, fault in enumerate(_order(chosen, arguments.rounds, dice), start=1):
            seed = arguments.replay or f"{arguments.seed}:{number}:{fault.name}"
            outcome = play(on, fault, seed=seed, messages=arguments.messages)
            played.append(outcome)
            print(f"{number}/{arguments.rounds} {_line(outcome)}", flush=True)
            if outcome.verdict.faults:
                print(explain(outcome), flush=True)
            _write(played, seed=arguments.seed)
    print(table(played))
    return int(any(outcome.verdict.faults for outcome in played))


def table(played: list[Outcome]) -> str:
    """Return the figures by fault, as a Markdown table."""
    groups: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in played:
        groups[f"{outcome.fault.number} {outcome.fault.name}"].append(outcome)
    rows = [HEAD, ("---",) * len(HEAD)]
    for name in sorted(groups, key=lambda name: (int(name[1:].split()[0]), name)):
        verdicts = [outcome.verdict for outcome in groups[name]]
        seconds = sorted(outcome.recovered_seconds for outcome in groups[name])
        sums = [
            sum(getattr(verdict, figure) for verdict in verdicts)
            for figure in ("accepted", "lost", "duplicated", "allowed")
        ]
        rows.append((name, str(len(verdicts)), *map(str, sums), f"{seconds[0]} to {seconds[-1]}"))
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _order(faults: list[Fault], rounds: int, dice: Random) -> list[Fault]:
    """Return every fault about as often as the others, in a random order."""
    order: list[Fault] = []
    while len(order) < rounds:
        order += dice.sample(faults, len(faults))
    return order[:rounds]


def _line(outcome: Outcome) -> str:
    verdict = outcome.verdict
    return (
        f"{'BROKEN' if verdict.faults else 'kept'} {outcome.fault.number} {outcome.fault.name}: "
        f"accepted {verdict.accepted}, lost {verdict.lost}, duplicated {verdict.duplicated} of "
        f"{verdict.allowed} allowed, recovered in {outcome.recovered_seconds} s"
    )


def _write(played: list[Outcome], *, seed: int) -> None:
    REPORT.parent.mkdir(exist_ok=True)
    rounds = [
        {
            "fault": outcome.fault.name,
            "number": outcome.fault.number,
            "seed": outcome.seed,
            "recovered_seconds": outcome.recovered_seconds,
            **asdict(outcome.verdict),
        }
        for outcome in played
    ]
    REPORT.write_text(json.dumps({"seed": seed, "rounds": rounds}, indent=1))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=len(BY_NAME))
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    parser.add_argument("--only", default="", help="a fault's name or number")
    parser.add_argument("--replay", default="", help="the seed of one round, as a report names it")
    parser.add_argument("--messages", type=int, default=300)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
