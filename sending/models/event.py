"""Define what is written down of a message: tries on the wire, and everything that happened.

Both tables grow with every message, so they have no more indexes than are read, and the database
does not look up the message of each row: `sending.ledger` writes a row in the statement that has
just changed its message.
"""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Q, Value

from sending.models.checks import IsOneOf
from sending.models.message import Message, Status

# The kind of a try whose answer was lost: the next hop may have the message.
AMBIGUOUS = "ambiguous"
# What happens to every message.
USUAL_KINDS = (Status.QUEUED, Status.SENDING, Status.SENT)


class Attempt(models.Model):
    """One try on the wire: where, how far it got, what the next hop said."""

    message = models.ForeignKey(
        Message,
        on_delete=models.CASCADE,
        related_name="attempts",
        db_index=False,
        db_constraint=False,
    )
    # Each condition of the database, such as that a number is positive, is read anew with every
    # lot of attempts; and the look for a route, which locks it, is made for every single one.
    number = models.SmallIntegerField()
    route = models.ForeignKey(
        "sending.Route",
        on_delete=models.SET_NULL,
        null=True,
        db_index=False,
        db_constraint=False,
    )
    started_at = models.DateTimeField()
    duration_ms = models.IntegerField()
    phase = models.CharField(max_length=10)
    outcome = models.CharField(max_length=10, choices=Status.choices)
    kind = models.CharField(max_length=20, blank=True)
    reply_code = models.SmallIntegerField(default=0)
    enhanced_status = models.CharField(max_length=12, blank=True)
    reply_text = models.CharField(max_length=1000, blank=True)
    transport_id = models.CharField(max_length=255, blank=True)

    class Meta:
        """The tries of one message, in order; each is written down once, however often told."""

        constraints = [
            models.UniqueConstraint(
                fields=["message", "number", "started_at"], name="attempt_is_written_once"
            )
        ]

    def __str__(self) -> str:
        return f"Attempt {self.number}: {self.outcome}"


# What can be told of a message that has left, the higher the later: whatever comes in whatever
# order, the highest that was told is where the message ends. It may be taken and then returned;
# only who has it can complain of it.
RANKED = (
    Status.SENT,
    Status.FAILED,
    Status.DELIVERED,
    Status.REJECTED,
    Status.BOUNCED,
    Status.COMPLAINED,
)


def _above(status: Status) -> frozenset[str]:
    """Return what may still be told of a message that stands here."""
    return frozenset(RANKED[RANKED.index(status) + 1 :])


# What may follow what. A status moves only along these edges: `sending.ledger` looks here before it
# writes, and the database refuses an event that is not among them.
TRANSITIONS: dict[str, frozenset[str]] = {
    "": frozenset({Status.QUEUED, Status.SUPPRESSED}),
    # To sent: the answer of a worker that was given up came after all.
    Status.QUEUED: frozenset(
        {Status.SENDING, Status.SENT, Status.CANCELED, Status.EXPIRED, Status.SUPPRESSED}
    ),
    Status.DEFERRED: frozenset(
        {Status.SENDING, Status.SENT, Status.CANCELED, Status.EXPIRED, Status.SUPPRESSED}
    ),
    Status.SENDING: frozenset(
        {
            Status.SENT,
            Status.DEFERRED,
            Status.QUEUED,
            Status.BOUNCED,
            Status.REJECTED,
            Status.FAILED,
            Status.SUPPRESSED,
            Status.EXPIRED,
            Status.UNKNOWN,
        }
    ),
    Status.UNKNOWN: frozenset(
        {Status.SENT, Status.DELIVERED, Status.BOUNCED, Status.COMPLAINED, Status.QUEUED}
    ),
    Status.SENT: _above(Status.SENT),
    Status.DELIVERED: _above(Status.DELIVERED),
    Status.FAILED: _above(Status.FAILED) | {Status.QUEUED},
    Status.REJECTED: _above(Status.REJECTED) | {Status.QUEUED},
    Status.BOUNCED: _above(Status.BOUNCED) | {Status.QUEUED},
    Status.COMPLAINED: _above(Status.COMPLAINED),
    Status.EXPIRED: frozenset({Status.QUEUED}),
    # It had left before the order came, as its late answer says.
    Status.SUPPRESSED: frozenset({Status.SENT}),
    Status.CANCELED: frozenset(),
}


def _is_an_edge() -> Q:
    """Return the condition that an event is no change of status, or one of the edges."""
    edges = [f"{before}>{after}" for before in TRANSITIONS for after in sorted(TRANSITIONS[before])]
    edge = IsOneOf("status_before", Value(">"), "status_after", words=" ".join(edges))
    return Q(status_after="") | Q(edge)


class Event(models.Model):
    """One fact about a message, never edited: a change of status, or something reported later.

    `kind` is a word of anymail's event vocabulary or, for a change of status, the new status.
    `status_before` and `status_after` are empty for a fact that changes no status. `key` names a
    fact that others told us, so that it is written once however often it is told.
    """

    message = models.ForeignKey(
        Message,
        on_delete=models.CASCADE,
        related_name="events",
        db_index=False,
        db_constraint=False,
    )
    kind = models.CharField(max_length=20)
    status_before = models.CharField(max_length=10, blank=True, default="")
    status_after = models.CharField(max_length=10, blank=True, default="")
    occurred_at = models.DateTimeField()
    attempt_number = models.SmallIntegerField(null=True)
    detail = models.CharField(max_length=1000, blank=True, default="")
    key = models.CharField(max_length=255, blank=True, default="", db_default="")

    class Meta:
        """The history of one message, in order; the edges of the state machine.

        The three changes of status that every message goes through are in no index but the first.
        """

        indexes = [
            models.Index(fields=["message", "id"], name="event_of_message"),
            # The event list of the dashboard; of the other kinds every message has one or two.
            models.Index(
                fields=["kind", "-id"], name="event_by_kind", condition=~Q(kind__in=USUAL_KINDS)
            ),
        ]
        constraints = [
            models.CheckConstraint(name="event_follows_the_state_machine", condition=_is_an_edge()),
            models.UniqueConstraint(
                name="event_is_written_once",
                fields=["message", "kind", "key"],
                condition=~Q(key=""),
            ),
        ]

    def __str__(self) -> str:
        return self.kind

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Refuse: `sending.ledger` appends events in bulk, and nobody changes one."""
        raise TypeError("The event log is append-only; sending.ledger writes it.")
