"""Write the status, the attempts and the events of messages: the only package that does.

Every change of status and its event are one transaction, the edge is looked up in `TRANSITIONS`,
and the clock is the database's. Functions take many messages at a time. What is done for every
message of a queue (claim, hand-off, record) is a few statements of its own on PostgreSQL
(`postgres`) with a twin for other databases (`portable`); the rest is one code: `moves` by time and
by people, `reports` by others. `erasure` takes out who the recipient was.
"""

from sending.ledger.erasure import anonymise, bare
from sending.ledger.facts import (
    KINDS,
    MAX_LAPSES,
    MAY_BECOME_SENT,
    AttemptFacts,
    Fact,
    FirstHits,
    IllegalTransition,
    Outcome,
)
from sending.ledger.intake import Blocked, Intake, take_in
from sending.ledger.moves import (
    accept,
    cancel,
    expire,
    hasten,
    hasten_limited,
    mark_delivered,
    reap,
    release,
    release_claim,
    requeue,
)
from sending.ledger.queue import (
    begin_handoff,
    claim,
    extend_leases,
    has_suspects,
    new_claim,
    record,
)
from sending.ledger.reports import hold, keep_first_hits, report
from sending.ledger.rows import EVENT_FIELDS, MESSAGE_FIELDS, database_now
from sending.ledger.withdrawal import withdraw, withdraw_held

__all__ = [
    "EVENT_FIELDS",
    "KINDS",
    "MAX_LAPSES",
    "MAY_BECOME_SENT",
    "MESSAGE_FIELDS",
    "AttemptFacts",
    "Blocked",
    "Fact",
    "FirstHits",
    "IllegalTransition",
    "Intake",
    "Outcome",
    "accept",
    "anonymise",
    "bare",
    "begin_handoff",
    "cancel",
    "claim",
    "database_now",
    "expire",
    "extend_leases",
    "has_suspects",
    "hasten",
    "hasten_limited",
    "hold",
    "keep_first_hits",
    "mark_delivered",
    "new_claim",
    "reap",
    "record",
    "release",
    "release_claim",
    "report",
    "requeue",
    "take_in",
    "withdraw",
    "withdraw_held",
]
