"""Find in a report what it is about: the header fields of the mail that it returns."""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.message import Message

from tracking import mail

_RETURNED_TYPES = frozenset(
    {
        "message/rfc822",
        "message/global",
        "text/rfc822-headers",
        "text/rfc822-header",
        "message/rfc822-headers",
        "message/global-headers",
    }
)
# Where a server says to whom a mail was addressed; each is checked for our own signature.
_DELIVERED = ("Delivered-To", "X-Original-To", "Envelope-To", "X-Envelope-To", "To", "Cc")
_MESSAGE_ID = re.compile(r"<[^<>\s]{3,320}>")
_FIELD = r"^[>\t ]*{}[ \t]*:[ \t]*(?:\r?\n[ \t]+)?([^\r\n]*)"
_IN_TEXT = {
    name: re.compile(_FIELD.format(name), re.IGNORECASE | re.MULTILINE)
    for name in ("Message-ID", "To", "Return-Path")
}


@dataclass(frozen=True, slots=True)
class Returned:
    """What can be compared with what we sent; nothing in it is proven.

    `message_ids`: the Message-ID of the returned mail first, then those that are referred to.
    `recipients`: to whom the returned mail was. `paths`: addresses that may be a return-path.
    """

    message_ids: tuple[str, ...]
    recipients: tuple[str, ...]
    paths: tuple[str, ...]


def look(message: Message) -> Returned:
    """Return what the mail tells of the mail that it is about."""
    sources = [_fields_of(part) for part in mail.parts(message) if _is_returned(part)]
    texts = [mail.text_of(part) for part in mail.parts(message) if _is_text(part)]
    sources += [_fields_in(text) for text in texts]
    message_ids = [one for ids, _, _ in sources for one in _MESSAGE_ID.findall(ids)]
    for name in ("In-Reply-To", "References"):
        message_ids += _MESSAGE_ID.findall(mail.header(message, name))
    paths = [one for _, _, path in sources for one in mail.addresses(path)]
    for name in _DELIVERED:
        paths += [one for value in mail.headers(message, name) for one in mail.addresses(value)]
    return Returned(
        message_ids=tuple(dict.fromkeys(message_ids))[:20],
        recipients=tuple(dict.fromkeys(a for _, to, _ in sources for a in mail.addresses(to)))[:20],
        paths=tuple(dict.fromkeys(paths))[:40],
    )


def _is_returned(part: Message) -> bool:
    return mail.content_type(part) in _RETURNED_TYPES


def _is_text(part: Message) -> bool:
    return mail.content_type(part) in ("text/plain", "text/html")


def _fields_of(part: Message) -> tuple[str, str, str]:
    for one in mail.inner_of(part)[:1]:
        return mail.header(one, "Message-ID"), mail.header(one, "To"), _paths(one)
    return _fields_in(mail.text_of(part))


def _paths(message: Message) -> str:
    names = ("Return-Path", "X-Envelope-From", "X-Original-From", "X-HmXmrOriginalRecipient")
    return " ".join(mail.header(message, name) for name in names)


def _fields_in(text: str) -> tuple[str, str, str]:
    """Read fields out of running text, where old servers put the mail that they return."""
    found = {name: pattern.search(text) for name, pattern in _IN_TEXT.items()}
    message_id, to, path = (match[1] if match else "" for match in found.values())
    return message_id, to, path
