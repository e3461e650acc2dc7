"""Define a report: what a later server, a provider or a recipient tells of a message."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One fact about one message, as it was told.

    `kind` is a word of anymail's event vocabulary. `key` is equal for the same report told twice.
    `bounce_class` is a word of `sending.replies.Kind`, `suppress` as in `sending.replies.Verdict`.
    `is_proven` False: nothing shows that who tells it saw the message; it is written down only.
    `url`, `user_agent` and `ip` are of an open or a click.
    """

    kind: str
    message_id: UUID | None
    recipient: str
    occurred_at: datetime
    key: str
    bounce_class: str = ""
    suppress: str = ""
    enhanced_status: str = ""
    diagnostic: str = ""
    is_proven: bool = True
    url: str = ""
    user_agent: str = ""
    ip: str = ""

    @property
    def words(self) -> str:
        """What the other side said, with its status, for people."""
        head = "" if self.enhanced_status in self.diagnostic else self.enhanced_status
        return f"{head} {self.diagnostic}".strip()
