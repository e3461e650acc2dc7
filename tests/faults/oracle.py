"""Judge a round: compare what was promised, what the ledger says and what the next hop took."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from tests.faults.load import Promises
from tests.faults.stage import Stage

AT_WORK = ("queued", "sending", "deferred")
SHOWN = 5


@dataclass
class Verdict:
    """The figures of one round; `faults` is empty when every promise was kept."""

    accepted: int = 0
    lost: int = 0
    duplicated: int = 0
    allowed: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def check(self, broken: Iterable[str], text: str) -> int:
        """Note the rule when anything breaks it; return how many did."""
        found = sorted(broken)
        if found:
            self.faults.append(f"{len(found)} {text}: {', '.join(found[:SHOWN])}")
        return len(found)


@dataclass(frozen=True)
class Row:
    """One message, as the ledger has it."""

    id: str
    recipient: str
    status: str
    message_id: str


def judge(
    stage: Stage,
    promises: Promises,
    *,
    handed_off: Collection[str],
    outcomes: Mapping[str, Collection[str]],
) -> Verdict:
    """Return the verdict on a round that is at rest.

    `handed_off`: recipients whose message was on the wire at a fault; only they may get a copy
    more, one for each fault, and not where the key's policy is ``hold``. `outcomes`: the
    statuses that may stand at the end, by the word that a recipient begins with; ``sent`` alone
    for the others.
    """
    rows = [
        Row(str(found[0]), *found[1:])
        for found in stage.rows("SELECT id, recipient, status, message_id FROM sending_message")
    ]
    verdict = Verdict(accepted=len(promises.accepted))
    for row in rows:
        verdict.outcomes[row.status] = verdict.outcomes.get(row.status, 0) + 1
    taken = stage.hop.taken
    _judge_losses(verdict, rows, promises, taken)
    _judge_copies(verdict, rows, promises, taken, Counter(handed_off))
    _judge_ledger(verdict, rows, outcomes)
    _judge_chains(verdict, stage, rows)
    return verdict


def _judge_losses(
    verdict: Verdict, rows: list[Row], promises: Promises, taken: Mapping[str, list[str]]
) -> None:
    at_rest = {row.recipient for row in rows if row.status not in AT_WORK}
    known = {row.recipient for row in rows}
    verdict.lost += verdict.check(
        promises.accepted.keys() - taken.keys() - at_rest,
        "accepted, but neither at the next hop nor at an end",
    )
    verdict.lost += verdict.check(
        {row.recipient for row in rows if row.status == "sent"} - taken.keys(),
        "sent by the ledger, never seen by the next hop",
    )
    verdict.check(promises.accepted.keys() - known, "accepted without a row")
    verdict.check(taken.keys() - promises.accepted.keys() - promises.open, "sent, never asked for")
    verdict.check(taken.keys() - known, "sent without a row")
    verdict.check(known - promises.accepted.keys() - promises.open, "rows that nobody asked for")
    recipients = [row.recipient for row in rows]
    verdict.check(
        {one for one in known if recipients.count(one) > 1} if len(known) < len(rows) else (),
        "stored twice",
    )


def _judge_copies(
    verdict: Verdict,
    rows: list[Row],
    promises: Promises,
    taken: Mapping[str, list[str]],
    handed_off: Counter[str],
) -> None:
    copied = {recipient for recipient, ids in taken.items() if len(ids) > 1}
    verdict.duplicated = sum(len(taken[recipient]) - 1 for recipient in copied)
    held = {who for who, key in promises.accepted.items() if key.endswith("hold")}
    verdict.allowed = sum(times for who, times in handed_off.items() if who not in held)
    verdict.check(copied - handed_off.keys(), "doubled, though not on the wire at the fault")
    verdict.check(copied & held, "doubled under the policy hold")
    verdict.check(
        {one for one in copied if len(taken[one]) > 1 + handed_off[one] > 1},
        "at the next hop more often than it was on the wire at a fault",
    )
    ids = {row.recipient: row.message_id for row in rows}
    verdict.check(
        {who for who, seen in taken.items() if set(seen) - {ids.get(who, "")} - {""}},
        "with another Message-ID than the ledger's",
    )


def _judge_ledger(
    verdict: Verdict, rows: list[Row], outcomes: Mapping[str, Collection[str]]
) -> None:
    verdict.check({row.recipient for row in rows if row.status in AT_WORK}, "not at rest")
    verdict.check(
        {
            f"{row.recipient} {row.status}"
            for row in rows
            if row.status not in AT_WORK
            and row.status not in outcomes.get(row.recipient.partition(".")[0], ("sent",))
        },
        "with an outcome that does not follow",
    )


def _judge_chains(verdict: Verdict, stage: Stage, rows: list[Row]) -> None:
    chains: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for message, before, after in stage.rows(
        "SELECT message_id, status_before, status_after FROM sending_event"
        " WHERE status_after <> '' ORDER BY message_id, id"
    ):
        chains[str(message)].append((before, after))
    broken = set()
    for row in rows:
        links = chains[row.id]
        befores = [before for before, _ in links]
        afters = [after for _, after in links]
        if befores != ["", *afters[:-1]] or not afters or afters[-1] != row.status:
            broken.add(f"{row.recipient} {links} {row.status}")
    verdict.check(broken, "with a broken history")
