"""Write an outgoing as the bytes that go on the wire (RFC 5322, 2045-2047).

Equal outgoings give equal bytes, so that a retry sends the very same message: nothing here reads a
clock or draws a random number.
"""

from __future__ import annotations

import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from email import base64mime, quoprimime
from email.utils import format_datetime
from functools import lru_cache

from sending.addresses import parse_address
from sending.dkim import sign
from sending.outgoing import Form, Mailbox, Outgoing, Woven

Header = tuple[str, str]

# These are written here, once each, or not at all: an extra header can neither double nor replace
# them. Bcc would tell who else got a copy; Return-Path belongs to the last hop.
RESERVED_HEADERS = frozenset(
    {
        "bcc",
        "cc",
        "content-transfer-encoding",
        "content-type",
        "date",
        "dkim-signature",
        "from",
        "message-id",
        "mime-version",
        "reply-to",
        "return-path",
        "sender",
        "subject",
        "to",
    }
)
# Their syntax has no place for an encoded word: it would end up inside a URL or an identifier.
VERBATIM_HEADERS = frozenset(
    {"auto-submitted", "feedback-id", "list-unsubscribe", "list-unsubscribe-post"}
)
MAX_HEADER_NAME = 50  # leaves room for an encoded word on the first line

# RFC 5322 asks for 78, but RFC 2047 section 2 for 76 where encoded words are: one limit for all.
_LINE = 76
_LONGEST_LINE = 998
_LONG_FORM_OCTETS = 2000
_LONGEST_PLAIN_NAME = 60

_find_forbidden = re.compile("[\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]").search
_is_header_name = re.compile(rf"[!-9;-~]{{1,{MAX_HEADER_NAME}}}").fullmatch
_is_message_id = re.compile(r"<[!-;=?A-~]{1,200}@[!-;=?A-~]{1,253}>").fullmatch
_is_plain_phrase = re.compile(
    r"[\w!#$%&'*+/=?^`{|}~-]+(?: [\w!#$%&'*+/=?^`{|}~-]+)*", re.ASCII
).fullmatch
# A run of blanks stays in one piece: a line of blanks only is obsolete syntax (section 3.2.2).
_split_words = re.compile(r"(?<! ) (?! )").split
_is_seven_bit = re.compile(rb"(?:[\t -~]{0,76}+\n)*+[\t -~]{0,76}+").fullmatch
_split_too_long = re.compile(rb"^([^\n]{74,75})(=20|=09)$", re.MULTILINE).sub
_NEVER_ESCAPED = bytes({*range(32, 127)} - {*b"="})
_UNESCAPED = b"\t\n" + _NEVER_ESCAPED
_QUOTED_PRINTABLE_HTML = (
    ("Content-Type", 'text/html; charset="utf-8"'),
    ("Content-Transfer-Encoding", "quoted-printable"),
)


@dataclass(frozen=True, slots=True)
class Content:
    """A whole message with CRLF line ends, not dot-stuffed.

    ``is_wire_ready``: it is known to have no line that begins with a dot and no bare CR or LF; when
    False, it was not proved.
    """

    octets: bytes
    is_wire_ready: bool = False


class HeaderInjection(ValueError):
    """A value meant for a header has a character that could end it; the message says which."""


def build(outgoing: Outgoing) -> bytes:
    """Return the octets of ``compose``."""
    return compose(outgoing).octets


def compose(outgoing: Outgoing) -> Content:
    """Return the whole message, signed if there is a key.

    Raises HeaderInjection, InvalidAddress, or another ValueError when no correct message can be
    made of ``outgoing``: no retry will help.
    """
    content_headers, body, is_body_ready = _content(outgoing)
    headers = [
        *_fixed_headers(outgoing),
        *_extra_headers(outgoing.headers),
        ("MIME-Version", "1.0"),
        *content_headers,
    ]
    block = "".join([f"{name}: {value}\r\n" for name, value in headers]).encode()
    signature = b""
    if outgoing.dkim_key is not None:
        # The date of the message instead of now: a retry has to give the same bytes.
        signature = sign(outgoing.dkim_key, headers, body, now=outgoing.date)
    octets = b"".join((signature, block, b"\r\n", body))
    return Content(octets, is_body_ready and _is_wire_ready(signature + block))


def _fixed_headers(outgoing: Outgoing) -> list[Header]:
    if not _is_message_id(outgoing.message_id):
        raise ValueError(
            f"The Message-ID {outgoing.message_id!r} is not of the form <unique@domain>."
        )
    if outgoing.date.tzinfo is None:
        raise ValueError("The date of the message has no time zone: give an aware datetime.")
    headers = [
        ("Date", _date(outgoing.date)),
        ("Message-ID", outgoing.message_id),
        ("From", _kept_mailbox("From", outgoing.sender)),
        ("To", _address("To", outgoing.recipient)),
    ]
    if outgoing.reply_to is not None:
        headers.append(("Reply-To", _kept_mailbox("Reply-To", outgoing.reply_to)))
    headers.append(("Subject", _unstructured("Subject", outgoing.subject)))
    return headers


def _extra_headers(extra: Sequence[Header]) -> list[Header]:
    _check_names(tuple([name for name, _ in extra]))
    return [(name, _extra_value(name, value)) for name, value in extra]


# Nearly all messages have the same ones.
@lru_cache(maxsize=256)
def _check_names(names: tuple[str, ...]) -> None:
    seen = set(RESERVED_HEADERS)
    for name in names:
        if not _is_header_name(name):
            raise ValueError(
                f"The header name {name!r} is not valid: use at most {MAX_HEADER_NAME} ASCII"
                " letters, digits and hyphens."
            )
        if name.lower() in seen:
            raise ValueError(
                f"The header {name} is set by us or given twice: remove it from the extra headers."
            )
        seen.add(name.lower())


def _extra_value(name: str, value: str) -> str:
    if name.lower() not in VERBATIM_HEADERS:
        return _unstructured(name, value)
    _refuse_injection(name, value)
    if value.isascii() and len(name) + 2 + len(value) <= _LINE:
        return value
    words = _split_words(value)
    if not value.isascii() or len(max(words, key=len)) > _LONGEST_LINE - len(name) - 2:
        raise ValueError(
            f"The {name} header cannot be sent: it has to be ASCII, with lines of at most"
            f" {_LONGEST_LINE} characters. Percent-encode or shorten its value."
        )
    return _fold(name, words)


def _unstructured(name: str, value: str) -> str:
    """Return free text, folded, as encoded words if it could not be read back otherwise."""
    _refuse_injection(name, value)
    # Blanks at the ends get lost on the way, and "=?" would be taken for an encoded word.
    if not value.isascii() or "=?" in value or value != value.strip(" "):
        return _fold(name, _encoded_words(value, room=_room(name)))
    if len(name) + 2 + len(value) <= _LINE:
        return value
    words = _split_words(value)
    if len(max(words, key=len)) > _LONGEST_LINE - len(name) - 2:
        words = _encoded_words(value, room=_room(name))
    return _fold(name, words)


def _mailbox(header: str, mailbox: Mailbox) -> str:
    address = _address(header, mailbox.address)
    if not mailbox.name:
        return address
    _refuse_injection(header, mailbox.name)
    return _fold(header, [*_phrase(mailbox.name, room=_room(header)), f"<{address}>"])


def _address(header: str, address: str) -> str:
    _refuse_injection(header, address)
    return parse_address(address).address


# Many messages come from few senders, and from one batch at one moment.
_kept_mailbox = lru_cache(maxsize=256)(_mailbox)
_date = lru_cache(maxsize=64)(format_datetime)


def _phrase(name: str, *, room: int) -> list[str]:
    """Return the words of a display name: plain, quoted or encoded (RFC 5322 section 3.2.5)."""
    if not name.isascii() or "=?" in name or len(name) > _LONGEST_PLAIN_NAME:
        return _encoded_words(name, room=room)
    if _is_plain_phrase(name):
        return name.split(" ")
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return [f'"{escaped}"']


def _encoded_words(text: str, *, room: int) -> list[str]:
    """Return ``text`` as encoded words of at most ``room`` characters (RFC 2047).

    It is halved until a piece fits, which never cuts a character in two (section 5).
    """
    octets = text.encode()
    if len("=?utf-8?q??=") + quoprimime.header_length(octets) <= room:
        return [quoprimime.header_encode(octets, "utf-8")]
    if len("=?utf-8?b??=") + base64mime.header_length(octets) <= room:
        return [base64mime.header_encode(octets, "utf-8")]
    middle = len(text) // 2
    return _encoded_words(text[:middle], room=room) + _encoded_words(text[middle:], room=room)


def _room(header: str) -> int:
    """Return what is left of the first line, always below the 75 that an encoded word may have."""
    return _LINE - len(header) - 2


def _fold(header: str, words: Sequence[str]) -> str:
    """Join ``words`` by blanks, on a new line where one would be too long.

    The first stays beside the name of the header: some readers take an empty first line for an
    empty header.
    """
    folded = words[0]
    column = len(header) + 2 + len(folded)
    for word in words[1:]:
        column += 1 + len(word)
        if column > _LINE:
            folded += "\r\n"
            column = 1 + len(word)
        folded += " " + word
    return folded


def _refuse_injection(header: str, value: str) -> None:
    if found := _find_forbidden(value):
        raise HeaderInjection(
            f"The {header} header has the forbidden character U+{ord(found[0]):04X} at position"
            f" {found.start() + 1}: a header is one line without control characters. Remove it."
        )


def _content(outgoing: Outgoing) -> tuple[tuple[Header, ...], bytes, bool]:
    """Return the headers that describe the body, the body, and whether it is ready for the wire."""
    text_headers, text = _part("plain", outgoing.text)
    if not outgoing.html:
        body = text if text.endswith(b"\r\n") else text + b"\r\n"
        return text_headers, body, _is_wire_ready(body)
    html_headers, html, is_html_ready = _html_part(outgoing.html)
    digest = hashlib.blake2b(outgoing.message_id.encode(), digest_size=12).hexdigest()
    # No encoded body can have "=_": it is no escape of quoted-printable and "_" is not in base64;
    # a body with "--=_" is not sent as it is (see _encode).
    boundary = f"=_{digest}"
    line = f"--{boundary}".encode("ascii")
    body = b"".join(
        (
            *(line, b"\r\n", _lines(text_headers), b"\r\n", text, b"\r\n"),
            *(line, b"\r\n", _lines(html_headers), b"\r\n", html, b"\r\n"),
            *(line, b"--\r\n"),
        )
    )
    headers = (("Content-Type", f'multipart/alternative; boundary="{boundary}"'),)
    return headers, body, is_html_ready and _is_wire_ready(text)


@lru_cache(maxsize=64)
def _lines(headers: tuple[Header, ...]) -> bytes:
    return "".join([f"{name}: {value}\r\n" for name, value in headers]).encode("ascii")


def _html_part(html: str | Woven) -> tuple[tuple[Header, ...], bytes, bool]:
    encoded_form = _encode_form(html.form) if isinstance(html, Woven) else None
    if encoded_form is None or isinstance(html, str):
        headers, encoded = _part("html", str(html))
        return headers, encoded, False
    own = {text: _encode_piece(text) for text in set(html.own)}
    pieces = encoded_form.pieces.copy()
    for hole, text in zip(html.form.holes, html.own, strict=True):
        pieces[hole] = own[text]
    is_ready = encoded_form.is_wire_ready and _is_wire_ready(b"".join(own.values()))
    return _QUOTED_PRINTABLE_HTML, b"".join(pieces), is_ready


@dataclass(frozen=True, slots=True)
class _EncodedForm:
    pieces: list[bytes]
    is_wire_ready: bool


@lru_cache(maxsize=256)
def _encode_form(form: Form) -> _EncodedForm | None:
    """Encode what all messages of a form share; None when that is not worth it.

    Each piece ends in a soft line break, so that pieces can be encoded apart (RFC 2045 section
    6.7). A short text stays readable, and one of few Latin letters is shorter as base64.
    """
    octets = "".join(form.pieces).encode("utf-8", "surrogatepass")
    is_worth_it = form.holes and len(octets) >= _LONG_FORM_OCTETS
    if not is_worth_it or len(octets.translate(None, _UNESCAPED)) * 6 > len(octets):
        return None
    pieces = [_encode_piece(piece) for piece in form.pieces]
    return _EncodedForm(pieces, _is_wire_ready(b"".join(pieces)))


def _is_wire_ready(octets: bytes) -> bool:
    """Tell whether no line of these whole lines begins with a dot, and each ends in CRLF."""
    lines = octets.count(b"\n")
    return (
        lines == octets.count(b"\r") == octets.count(b"\r\n")
        and b"\n." not in octets
        and not octets.startswith(b".")
    )


def _encode_piece(text: str) -> bytes:
    """Return quoted-printable that begins and ends at the start of a line, whatever follows."""
    octets = text.encode("utf-8", "surrogatepass")
    if not octets.translate(None, _NEVER_ESCAPED):  # so are nearly all values and links
        if len(octets) < _LINE:
            return octets + b"=\r\n" if octets else b""
        starts = range(0, len(octets), _LINE - 1)
        return b"".join([octets[at : at + _LINE - 1] + b"=\r\n" for at in starts])
    encoded = _quoted_printable(_octets(text, subtype="html"))
    if encoded.endswith(b"\n"):
        return encoded
    if len(encoded) - encoded.rfind(b"\n") > _LINE:  # the last line has no room for the "="
        last = 3 if encoded[-3:-2] == b"=" else 1
        encoded = encoded[:-last] + b"=\r\n" + encoded[-last:]
    return encoded + b"=\r\n"


def _part(subtype: str, content: str) -> tuple[tuple[Header, ...], bytes]:
    encoding, encoded = _encode(_octets(content, subtype=subtype))
    charset = "us-ascii" if encoding == "7bit" else "utf-8"
    headers = (
        ("Content-Type", f'text/{subtype}; charset="{charset}"'),
        ("Content-Transfer-Encoding", encoding),
    )
    return headers, encoded


def _octets(content: str, *, subtype: str) -> bytes:
    """Return the octets of a text whose lines end in LF."""
    try:
        return content.replace("\r\n", "\n").replace("\r", "\n").encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"The text/{subtype} body has half a character, U+{ord(error.object[error.start]):04X},"
            f" at position {error.start + 1}: give whole Unicode characters."
        ) from error


def _quoted_printable(octets: bytes) -> bytes:
    encoded = binascii.b2a_qp(octets)
    if b"=20\n" in encoded or b"=09\n" in encoded:
        # It escapes a blank at the end of a line without a look at how long that gets.
        encoded = _split_too_long(rb"\1=\n\2", encoded)
    return encoded.replace(b"\n", b"\r\n")


def _encode(octets: bytes) -> tuple[str, bytes]:
    """Return the transfer encoding and the octets under it; lines end in LF before, CRLF after."""
    if _is_seven_bit(octets) and b"--=_" not in octets:
        return "7bit", octets.replace(b"\n", b"\r\n")
    # An escape adds two octets, base64 a third of everything: they break even at a sixth.
    if len(octets.translate(None, _UNESCAPED)) * 6 <= len(octets):
        return "quoted-printable", _quoted_printable(octets)
    encoded = binascii.b2a_base64(octets.replace(b"\n", b"\r\n"), newline=False)
    lines = [encoded[at : at + _LINE] for at in range(0, len(encoded), _LINE)]
    return "base64", b"\r\n".join(lines)
