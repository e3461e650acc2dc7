"""Read mail that strangers wrote: whatever the bytes are, nothing here raises.

The parser of the standard library is lenient, but not about everything: what it hands out is
decoded here with replacement characters, and the depth of nested parts is bounded.
"""

from __future__ import annotations

import email
import email.policy
import html
import re
from collections.abc import Iterator
from email.errors import MessageError
from email.header import decode_header
from email.message import Message
from itertools import islice

# What is behind this is a returned message at most; the report proper comes before it. The parser's
# time grows with lines times open multiparts, and with the square of a parameter list.
MAX_BYTES = 256 * 1024
MAX_LINES = 10_000
MAX_MULTIPARTS = 20
MAX_PARAMETERS = 5000
MAX_PARTS = 200
MAX_VALUE = 4000  # characters; longer header fields are cut off

_BOUNDS = (
    (re.compile(rb"\r\n?|\n"), MAX_LINES),
    (re.compile(rb"multipart/", re.IGNORECASE), MAX_MULTIPARTS),
    (re.compile(rb";"), MAX_PARAMETERS),
)
_BLANKS = re.compile(r"\s+")
_ADDRESS = re.compile(r"[^\s<>()\[\]\\,;:\"@'|]{1,64}@[^\s<>()\[\]\\,;:\"@'|]{1,253}")
_TAG = re.compile(r"<(/?[a-z][a-z0-9]*|!)?[^<>]{0,1000}>", re.IGNORECASE)
_BREAKS = frozenset({"br", "/p", "/div", "/tr", "/li", "/h1", "/h2", "/h3"})
_UNSEEN = frozenset({"style", "script", "head"})
# What the parser of the standard library raises for what it did not expect.
BROKEN = (ValueError, LookupError, TypeError, AttributeError, AssertionError, MessageError)


def read(content: bytes) -> Message:
    """Return the parsed mail, as far as it is bounded; an empty one when it nests too deeply."""
    content = content[:MAX_BYTES]
    for mark, most in _BOUNDS:
        content = _before(content, mark, most=most)
    try:
        return email.message_from_bytes(content, policy=email.policy.compat32)
    except (RecursionError, *BROKEN):
        return Message()


def _before(content: bytes, mark: re.Pattern[bytes], *, most: int) -> bytes:
    """Return what comes before the first mark that is one too many."""
    excess = next(islice(mark.finditer(content), most, None), None)
    return content[: excess.start()] if excess else content


def header(message: Message, name: str) -> str:
    """Return the first header field of this name, decoded, on one line; "" when there is none."""
    return next(iter(headers(message, name)), "")


def headers(message: Message, name: str) -> list[str]:
    """Return all header fields of this name, decoded, each on one line."""
    try:
        values = message.get_all(name, [])
    except BROKEN:
        return []
    return [one_line(_decoded(str(value)[:MAX_VALUE])) for value in values[:MAX_PARTS]]


def parts(message: Message) -> Iterator[Message]:
    """Yield the mail and all parts in it, outer ones first, but not those of returned messages."""
    waiting, seen = [message], 0
    while waiting and seen < MAX_PARTS:
        part = waiting.pop(0)
        seen += 1
        yield part
        if content_type(part).startswith("multipart/"):
            waiting = inner_of(part) + waiting


def attached(message: Message) -> list[Message]:
    """Return the reports that are attached as whole mails (RFC 6522 in message/rfc822)."""
    mails = [part for part in parts(message) if content_type(part) == "message/rfc822"]
    found = [inner for part in mails for inner in inner_of(part)]
    return [one for one in found if content_type(one) == "multipart/report"]


def inner_of(part: Message) -> list[Message]:
    """Return the parts of a multipart, or the mail in a part that holds one."""
    try:
        inner = part.get_payload()
    except BROKEN:
        return []
    return [one for one in inner if isinstance(one, Message)] if isinstance(inner, list) else []


def content_type(part: Message) -> str:
    """Return the content type in lower case; a broken one is text/plain (RFC 2045 section 5.2)."""
    try:
        return part.get_content_type()
    except BROKEN:
        return "text/plain"


def text_of(part: Message) -> str:
    """Return the text of a part that is no multipart, whatever its charset claims to be."""
    try:
        octets = part.get_payload(decode=True)
    except BROKEN:
        octets = None
    if not isinstance(octets, bytes):
        return raw_text_of(part)
    try:
        charset = part.get_content_charset("utf-8") or "utf-8"
    except BROKEN:
        charset = "utf-8"
    return decode(octets, charset)


def raw_text_of(part: Message) -> str:
    """Return the text of the messages that a part of the type message/... was parsed into."""
    texts = [_own_text(part)]
    for one in inner_of(part):
        fields = "\n".join(f"{name}: {value}" for name, value in _items(one))
        texts.append(f"{fields}\n\n{_own_text(one)}")
    return "\n\n".join(filter(None, texts))


def decode(octets: bytes, charset: str) -> str:
    """Return the text; a wrong or unknown charset costs single letters, never the rest."""
    for name in ("utf-8", charset):
        try:
            return octets.decode(name)
        except (UnicodeError, LookupError, ValueError):
            continue
    return octets.decode("latin-1")


def plain(text: str, *, is_html: bool) -> str:
    """Return what a reader of the text would see, line by line."""
    if is_html:
        text = html.unescape("".join(_seen(text)))
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _seen(text: str) -> Iterator[str]:
    """Yield the texts between the tags, with line ends where a reader sees some."""
    at, hidden = 0, ""
    for tag in _TAG.finditer(text):
        name = (tag[1] or "").lower()
        if not hidden:
            yield text[at : tag.start()]
            yield "\n" if name in _BREAKS else " "
            hidden = name if name in _UNSEEN else ""
        elif name == "/" + hidden:
            hidden = ""
        at = tag.end()
    if not hidden:
        yield text[at:]


def addresses(text: str) -> list[str]:
    """Return what looks like an address, in order, each once."""
    text = _storable(text[: 16 * MAX_VALUE])
    found = (match.strip(".'*") for match in _ADDRESS.findall(text))
    return list(dict.fromkeys(one for one in found if "." in one.rpartition("@")[2]))


def one_line(text: str) -> str:
    """Return the text with every run of blanks and line ends as one blank."""
    return _BLANKS.sub(" ", _storable(text)).strip()[:MAX_VALUE]


def _storable(text: str) -> str:
    """Replace what neither the database nor a terminal takes: NUL and halves of characters."""
    return text.replace("\x00", " ").encode("utf-8", "replace").decode("utf-8")


def _own_text(part: Message) -> str:
    try:
        inner = part.get_payload()
    except BROKEN:
        return ""
    return inner if isinstance(inner, str) else ""


def _items(message: Message) -> list[tuple[str, str]]:
    try:
        return [(name, str(value)) for name, value in message.items()]
    except BROKEN:
        return []


def _decoded(value: str) -> str:
    if "=?" not in value:
        return value
    try:
        pieces = decode_header(value)
    except BROKEN:
        return value
    return "".join(
        decode(piece, charset or "ascii") if isinstance(piece, bytes) else str(piece)
        for piece, charset in pieces
    )
