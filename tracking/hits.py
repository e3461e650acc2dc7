"""Hold what is known of an opening or a click at the moment it comes."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

OPENED = "opened"
CLICKED = "clicked"
USER_AGENT_LENGTH = 500

# One transparent point, the smallest GIF that every mail program takes.
GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")


@dataclass(frozen=True, slots=True)
class Hit:
    """A pixel that was fetched or a link that was followed, by whom or what is not known yet.

    `link_id`: the TrackedLink, None for an opening, or when it cannot be told. `ip`: empty when
    it cannot be known. `purpose`: what the client said it fetches for, such as ``prefetch``. `key`
    names the hit for ever: the same one told twice has the same. `url`: where a click went that
    is no TrackedLink, because a provider told it.
    """

    kind: str
    message_id: UUID
    link_id: int | None
    at: datetime
    ip: str
    user_agent: str
    method: str
    has_accept: bool
    purpose: str
    key: str
    url: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """A hit as it is spooled: `link` is the number within the mail, 0 for the pixel."""

    message_id: UUID
    link: int
    at: datetime
    ip: str
    user_agent: str
    method: str
    has_accept: bool
    purpose: str

    def encoded(self) -> bytes:
        """Return it as one value of JSON."""
        fields = (
            self.message_id.hex,
            self.link,
            self.at.timestamp(),
            self.ip,
            self.user_agent,
            self.method,
            self.has_accept,
            self.purpose,
        )
        return json.dumps(fields, separators=(",", ":")).encode()

    @classmethod
    def decoded(cls, octets: bytes) -> Record:
        """Return what `encoded` wrote; raise ValueError or TypeError for anything else."""
        message, link, at, *rest = json.loads(octets)
        return cls(UUID(message), int(link), datetime.fromtimestamp(at, UTC), *rest)

    def hit(self, *, link_id: int | None, key: str) -> Hit:
        """Return the hit, now that the link and its name are known."""
        return Hit(
            kind=CLICKED if self.link else OPENED,
            message_id=self.message_id,
            link_id=link_id,
            at=self.at,
            ip=self.ip,
            user_agent=self.user_agent,
            method=self.method,
            has_accept=self.has_accept,
            purpose=self.purpose,
            key=key,
        )
