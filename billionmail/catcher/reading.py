"""Take a caught mail apart to show it, whatever state it is in.

Nothing here raises for a damaged mail: what cannot be understood is left out or shown as it came,
and ``Content.problem`` says so.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from email import message_from_bytes
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import Message
from email.parser import BytesHeaderParser
from functools import lru_cache
from pathlib import Path

from billionmail.catcher import inbox

MAX_HEADER_BYTES = 256 * 1024
MAX_HEADERS = 500
MAX_HEADER_CHARACTERS = 4000
MAX_READ_BYTES = 8 * 1024 * 1024
MAX_LINKS = 100

END_OF_HEADERS = re.compile(rb"\r?\n\r?\n")
SURROGATE = re.compile("[\ud800-\udfff]")
HTML_LINK = re.compile(r"""\bhref\s*=\s*["']?(https?://[^"'\s<>]+)""", re.IGNORECASE)
TEXT_LINK = re.compile(r"""https?://[^"'\s<>]+""", re.IGNORECASE)
HEADER_LINK = re.compile(r"<(https?://[^\s<>]+)>", re.IGNORECASE)


@dataclass(frozen=True)
class Summary:
    """What the list shows of a mail; `sender` is the header From, `recipients` the envelope's."""

    name: str
    received_at: datetime
    envelope_sender: str
    recipients: tuple[str, ...]
    sender: str
    subject: str
    size_bytes: int


@dataclass(frozen=True)
class Attachment:
    """A part of a mail that is neither its text nor its HTML."""

    filename: str
    content_type: str
    size_bytes: int


@dataclass(frozen=True)
class Content:
    """A mail taken apart; `text` and `html` are None when it has no such part."""

    headers: tuple[tuple[str, str], ...]
    text: str | None = None
    html: str | None = None
    attachments: tuple[Attachment, ...] = ()
    problem: str = ""


def summary(directory: Path, *, name: str) -> Summary:
    """Return what the list shows of a mail; raise OSError when it is gone."""
    return _summary(directory, name)


# A caught mail never changes and its name never comes back, so the list reads each one once.
@lru_cache(maxsize=2000)
def _summary(directory: Path, name: str) -> Summary:
    path = directory / f"{name}.eml"
    with path.open("rb") as file:
        headers = read_headers(file.read(MAX_HEADER_BYTES))
    envelope_sender, recipients = inbox.envelope(directory, name=name)
    return Summary(
        name=name,
        received_at=inbox.received_at(name),
        envelope_sender=printable(envelope_sender),
        recipients=tuple(map(printable, recipients)),
        sender=header(headers, "From"),
        subject=header(headers, "Subject"),
        size_bytes=path.stat().st_size,
    )


def read_content(path: Path) -> Content:
    """Take the first 8 MiB of a mail apart; raise OSError when it is gone."""
    with path.open("rb") as file:
        raw = file.read(MAX_READ_BYTES + 1)
    headers = read_headers(raw)
    try:
        text, html_text, attachments = _bodies(message_from_bytes(raw[:MAX_READ_BYTES]))
    except Exception as error:  # the parser raises of all kinds on hostile input
        return Content(
            headers,
            problem=f"The parts of this mail cannot be read ({type(error).__name__}). "
            "Its source shows what came.",
        )
    problem = ""
    if len(raw) > MAX_READ_BYTES:
        problem = f"Only the first {MAX_READ_BYTES // 1024**2} MiB of this mail are shown."
    return Content(headers, text, html_text, attachments, problem)


def read_headers(raw: bytes) -> tuple[tuple[str, str], ...]:
    """Return the headers before the first empty line, decoded (RFC 2047), in their order."""
    end = END_OF_HEADERS.search(raw, 0, MAX_HEADER_BYTES)
    block = raw[: end.end() if end else MAX_HEADER_BYTES]
    message = BytesHeaderParser().parsebytes(block)
    items = list(message.raw_items())[:MAX_HEADERS]
    return tuple((printable(name), _decoded(value)) for name, value in items)


def header(headers: Iterable[tuple[str, str]], name: str) -> str:
    """Return the first header of this name, or nothing."""
    return next((value for key, value in headers if key.lower() == name.lower()), "")


def links(content: Content) -> list[str]:
    """Return the web addresses that a recipient could follow, each once."""
    found = HEADER_LINK.findall(header(content.headers, "List-Unsubscribe"))
    if content.html is not None:
        found = [html.unescape(link) for link in HTML_LINK.findall(content.html)] + found
    else:
        found = TEXT_LINK.findall(content.text or "") + found
    return list(dict.fromkeys(found))[:MAX_LINKS]


def printable(text: str) -> str:
    """Return the text with what UTF-8 cannot carry (lone surrogates) replaced."""
    return SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)


def _decoded(value: str) -> str:
    # Python carries raw 8-bit bytes as surrogates; in mail of today they are UTF-8 (RFC 6532).
    raw = value[:MAX_HEADER_CHARACTERS].encode("utf-8", "surrogateescape")
    unfolded = re.sub(r"\r?\n(?=[ \t])", "", raw.decode("utf-8", "replace")).strip()
    try:
        text = str(make_header(decode_header(unfolded)))
    except (MessageError, LookupError, ValueError):
        text = unfolded
    return printable(text + ("…" if len(value) > MAX_HEADER_CHARACTERS else ""))


def _bodies(
    message: Message,
) -> tuple[str | None, str | None, tuple[Attachment, ...]]:
    bodies: dict[str, str] = {}
    attachments = []
    for part in message.walk():
        if part.is_multipart():
            continue
        kind = part.get_content_type()
        payload = part.get_payload(decode=True)
        content = payload if isinstance(payload, bytes) else b""
        if kind in ("text/plain", "text/html") and kind not in bodies and not _is_attached(part):
            bodies[kind] = _text(content, charset=part.get_content_charset("utf-8"))
        else:
            filename = printable(part.get_filename("") or "unnamed")
            attachments.append(Attachment(filename, printable(kind), len(content)))
    return bodies.get("text/plain"), bodies.get("text/html"), tuple(attachments)


def _is_attached(part: Message) -> bool:
    return part.get_content_disposition() == "attachment" or bool(part.get_filename())


def _text(content: bytes, *, charset: str) -> str:
    try:
        return printable(content.decode(charset, "replace"))
    except (LookupError, ValueError):
        # An unknown charset, or a codec that is none for text.
        return content.decode("utf-8", "replace")
