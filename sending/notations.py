"""Recognise an address where it stands in a text, however servers, links and logs write it.

Between its halves may be a sign that stands in for the @ (VERP and SRS: ``ann=example.com``; links:
``ann%40example.com``), and its signs may be encoded. ``=`` and the like before an address end what
stands there (``to=ann@example.com``), though RFC 5321 lets a local part have them, and so do ``+``
and ``-`` in a return-path (``bounces-ann=example.com@list.example``): to strike out one too many
does less harm than to leave one.
"""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import quote

import idna

# A word, also with one of these signs behind it, is the beginning of a longer local part; a sign
# in one of the codes of URLs, programs, quoted-printable or xtext (RFC 3461 section 4) is not.
_BEGIN = (
    r"(?:(?<!\w)(?<!\w[.+'&-])|(?<=%[0-9a-f]{2})|(?<=\\x[0-9a-f]{2})|(?<=\\u[0-9a-f]{4})"
    r"|(?<=\\[nrt])|(?<=[=+]3c))"
)
_AT = r"(?:@|=|%|[%=+]40|\\x40|\\u0040|&#64;|&#x40;|&commat;)"
_END = r"(?![^\W_]|-+[^\W_]|\.[^\W_])"


def notations_of(address: str) -> re.Pattern[str]:
    """Return what matches a case-folded address, and no longer one, in a text."""
    local, _, domain = address.rpartition("@")
    part = "".join(map(_notations_of_sign, local))
    host = "|".join(map(re.escape, _names_of(domain)))
    return re.compile(
        rf"{_BEGIN}(?:{part}{_AT}(?:{host})|(?:{host})[=!]{part}){_END}"
        rf"""|\\?"{part}\\?"{_AT}(?:{host}){_END}"""
        rf"|(?<=[+_-]){part}=(?:{host})(?=@)",
        re.IGNORECASE,
    )


def certain_parts(address: str) -> tuple[str, list[str]]:
    """Return what stands in each notation: a piece of the local part, and one of these of the host.

    In ASCII, for databases differ in what is the same in another case outside it.
    """
    local, _, domain = address.rpartition("@")
    return _longest(r"[a-z0-9]*", local), [_longest(r"[ -~]*", name) for name in _names_of(domain)]


def _notations_of_sign(sign: str) -> str:
    if sign.isascii() and sign.isalnum():
        return sign
    ways = {sign, unicodedata.normalize("NFD", sign), quote(sign), quote(sign.upper())}
    codes = "" if not sign.isascii() else f"|[%=+]{ord(sign):02x}"
    return f"(?:{'|'.join(map(re.escape, sorted(ways)))}{codes})"


def _names_of(domain: str) -> list[str]:
    try:
        readable = idna.decode(domain)
    except idna.IDNAError:
        return [domain]
    return sorted({domain, readable})


def _longest(pattern: str, text: str) -> str:
    return max(re.findall(pattern, text), key=len)
