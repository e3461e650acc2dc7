"""Read a delivery status notification (RFC 3464 in RFC 6522; RFC 6533 outside ASCII).

Servers write the fields in every way but the one of the standard, so they are looked for where
they may be: a part may lack its type, be encoded, hold all fields in one block or be cut off.
"""

from __future__ import annotations

import base64
import binascii
import quopri
import re
from collections.abc import Iterable
from dataclasses import dataclass
from email.message import Message

from sending.errors import Reply
from tracking import mail

MAX_RECIPIENTS = 500
_STATUS_TYPES = frozenset({"message/delivery-status", "message/global-delivery-status"})
_ACTIONS = ("failed", "delayed", "delivered", "relayed", "expanded")

_FIELD = re.compile(r"([A-Za-z][A-Za-z0-9-]{1,60})[ \t]*:[ \t]*(.*)")
_BLOCK_END = re.compile(r"\n[ \t]*\n")
_STATUS = re.compile(r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?![\d.]*\d)")
_CODE = re.compile(r"(?<![\d.#:/-])([245][0-5]\d)(?=[ \-]|$)")
_UNICODE_ESCAPE = re.compile(r"\\x\{([0-9A-Fa-f]{2,6})\}")
_XTEXT = re.compile(r"\+([0-9A-F]{2})")


@dataclass(frozen=True, slots=True)
class Delivery:
    """What is said of one recipient: `action` is a word of RFC 3464 section 2.3.3.

    `recipient` is the address that we sent to, as far as the report tells; `reply` is what the
    last server said, or what can be made of it.
    """

    recipient: str
    action: str
    reply: Reply


@dataclass(frozen=True, slots=True)
class StatusReport:
    """A whole notification; `envelope_id` is the ENVID that we gave (RFC 3461 section 4.4)."""

    deliveries: tuple[Delivery, ...]
    envelope_id: str = ""


def parse(message: Message) -> StatusReport | None:
    """Return the notification in the mail; None when there is none or it names no recipient."""
    for part in mail.parts(message):
        blocks = _blocks_of(part)
        deliveries = [found for block in blocks if (found := _delivery(block)) is not None]
        if deliveries:
            envelope_ids = (block.get("original-envelope-id", "") for block in blocks)
            return StatusReport(
                tuple(deliveries[:MAX_RECIPIENTS]),
                envelope_id=_without_xtext(next(filter(None, envelope_ids), "")),
            )
    return None


def reply_in(text: str, *, status: str = "") -> Reply:
    """Return the reply that stands in a text; `status` is what was said of it elsewhere.

    A general status (5.0.0) gives way to an exact one in the words. Where the basic code
    contradicts the status, as in "550 4.4.7 expired", the status says what it was about.
    """
    given, found = _STATUS.search(status), _STATUS.search(text)
    enhanced = ".".join(given.groups()) if given else ""
    if found and (not enhanced or enhanced.endswith(".0.0")):
        enhanced = ".".join(found.groups())
    code = _CODE.search(text)
    number = int(code[1]) if code else 0
    if enhanced and number and str(number)[0] != enhanced[0]:
        number = 0
    return Reply(code=number, enhanced=enhanced, text=_words(text))


def address_in(value: str) -> str:
    """Return the address of a recipient field, "rfc822; ann@example.com" (RFC 3464 section 2.1.2).

    "" when it is of another kind, such as a mailbox name of the server's own.
    """
    value = _UNICODE_ESCAPE.sub(_unescaped, value)
    if ";" in value:
        value = value.partition(";")[2]
    return next(iter(mail.addresses(value)), "")


def _blocks_of(part: Message) -> list[dict[str, str]]:
    """Return the blocks of fields in a part, none if it is no status part."""
    kind = mail.content_type(part)
    if kind in _STATUS_TYPES:
        text = mail.raw_text_of(part)
    elif kind.startswith(("text/plain", "application/octet-stream", "message/rfc822-status")):
        text = mail.text_of(part)
        if not re.search(r"^(Final|Original)-Recipient[ \t]*:", text, re.I | re.M):
            return []
    else:
        return []
    return list(_blocks(_without_encoding(text, part)))


def _without_encoding(text: str, part: Message) -> str:
    """Undo an encoding, which the standard forbids here (RFC 6522 section 3) and some use."""
    encoding = mail.header(part, "Content-Transfer-Encoding").lower()
    octets = text.encode("utf-8", "replace")
    if encoding == "base64" and ":" not in text.strip()[:40]:
        try:
            return mail.decode(base64.b64decode(octets, validate=False), "utf-8")
        except (binascii.Error, ValueError):
            return text
    if encoding == "quoted-printable" and re.search("=([0-9A-F]{2}|\n)", text):
        return mail.decode(quopri.decodestring(octets), "utf-8")
    return text


def _blocks(text: str) -> Iterable[dict[str, str]]:
    for block in _BLOCK_END.split(text.replace("\r\n", "\n")):
        fields: dict[str, str] = {}
        name = ""
        for line in block.split("\n"):
            match = _FIELD.match(line)
            if line[:1] in (" ", "\t") and name:
                fields[name] += " " + line.strip()
            elif match:
                name = match[1].lower()
                # Of a repeated field the first counts; what follows is the next recipient's.
                if name in ("final-recipient", "original-recipient") and "action" in fields:
                    yield fields
                    fields = {}
                fields.setdefault(name, match[2].strip())
        if fields:
            yield fields


def _delivery(block: dict[str, str]) -> Delivery | None:
    recipient = _recipient(block)
    if not recipient and not ("status" in block and "action" in block):
        return None
    diagnostic = mail.one_line(block.get("diagnostic-code", ""))
    text = re.sub(r"^[A-Za-z0-9.-]{1,30}\s*;\s*", "", diagnostic)
    reply = reply_in(text, status=block.get("status", ""))
    return Delivery(recipient=recipient, action=_action(block, reply), reply=reply)


def _recipient(block: dict[str, str]) -> str:
    """Return the address that we sent to; the last hop may name another, where it forwarded to."""
    for name in ("original-recipient", "final-recipient", "x-actual-recipient"):
        if address := address_in(block.get(name, "")):
            return address
    return ""


def _action(block: dict[str, str], reply: Reply) -> str:
    word = block.get("action", "").strip().lower()
    for action in _ACTIONS:
        if word.startswith(action) or (word and action.startswith(word[:5])):
            return action
    # It was cut off, or is in another language: the class of the status tells as much.
    return {"2": "delivered", "4": "delayed"}.get(reply.enhanced[:1], "failed")


def _words(text: str) -> str:
    """Return the text without the codes that stand in front of it, again on each line."""
    text = re.sub(r"(?<!\S)[245]\d\d[ -](?:\(?#?[245]\.\d{1,3}\.\d{1,3}\)?:?\s?)?", "", text)
    return mail.one_line(re.sub(r"^[245]\.\d{1,3}\.\d{1,3}\s", "", text))


def _without_xtext(value: str) -> str:
    return _XTEXT.sub(lambda match: chr(int(match[1], 16)), value).strip()


def _unescaped(match: re.Match[str]) -> str:
    number = int(match[1], 16)
    return chr(number) if number <= 0x10FFFF and not 0xD800 <= number <= 0xDFFF else "?"
