"""Hold a finished, unsent message: what a transport is given."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sending.dkim import DkimKey


@dataclass(frozen=True, slots=True)
class Mailbox:
    """An address with an optional display name (RFC 5322 section 3.4)."""

    address: str
    name: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    """A compiled text: its pieces in order, empty at the `holes` (their positions)."""

    pieces: tuple[str, ...]
    holes: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Woven:
    """A text as the form it fills and what stands in its holes, so that the form is encoded once.

    ``own`` are the texts in the holes, in their order. `str` puts it together, and only that.
    """

    form: Form
    own: tuple[str, ...]

    def __str__(self) -> str:
        pieces = list(self.form.pieces)
        for hole, text in zip(self.form.holes, self.own, strict=True):
            pieces[hole] = text
        return "".join(pieces)

    def __bool__(self) -> bool:
        """Tell whether there is any text."""
        return any(self.form.pieces) or any(self.own)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One copy for one recipient, complete: envelope, headers and both bodies.

    ``recipient`` and ``envelope_sender`` have their domain in A-labels. ``message_id`` carries its
    angle brackets. ``date`` is aware. ``headers`` are the extra ones, in the
    order they go out. ``metadata`` travels to providers that can return it with their events.
    """

    id: UUID
    claim: int
    envelope_sender: str
    recipient: str
    sender: Mailbox
    subject: str
    text: str
    html: str | Woven
    message_id: str
    date: datetime
    reply_to: Mailbox | None = None
    headers: tuple[tuple[str, str], ...] = ()
    dkim_key: DkimKey | None = None
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def needs_smtputf8(self) -> bool:
        """Whether an address has a local part outside ASCII (RFC 6531); a domain has A-labels."""
        addresses = [self.recipient, self.envelope_sender, self.sender.address]
        if self.reply_to is not None:
            addresses.append(self.reply_to.address)
        if "".join(addresses).isascii():
            return False
        return not all(address.rpartition("@")[0].isascii() for address in addresses)
