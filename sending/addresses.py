"""Read one e-mail address, strictly, into the form that goes on the wire."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

import idna

MAX_LOCAL_OCTETS = 64  # RFC 5321 section 4.5.3.1.1
MAX_ADDRESS_OCTETS = 254  # section 4.5.3.1.3 allows 256 with the angle brackets

_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
# The last label may not be a number: 192.0.2.1 is no host name (RFC 3696 section 2).
_HOSTNAME = rf"(?:{_LABEL}\.)+(?![0-9]+\Z){_LABEL}"

_is_hostname = re.compile(_HOSTNAME).fullmatch
_is_dot_atom = re.compile(rf"{_ATEXT}(?:\.{_ATEXT})*").fullmatch
# Nearly every address is plain ASCII without A-labels, which need a decoder to be checked.
_match_plain = re.compile(
    rf"({_ATEXT}(?:\.{_ATEXT})*)@((?!.*xn--){_HOSTNAME})", re.IGNORECASE
).fullmatch

_MISTAKES = tuple(
    (re.compile(pattern).search, message)
    for pattern, message in (
        (r"\A\Z", "The address is empty: give one, such as name@example.com."),
        (r"[<>]", "The address has angle brackets: give it alone, without a display name."),
        (r"[,;]", "The address has a comma or semicolon: give exactly one address."),
        (r"\s", "The address has a blank inside: remove it."),
        (r'"', "The address has quotation marks: quoted local parts are not supported."),
        (r"\A[^@]*\Z", "The address has no @: give it as name@example.com."),
        (r"@.*@", "The address has more than one @: give exactly one address."),
        (r"\A@", "The address has nothing before the @."),
        (r"@\Z", "The address has nothing after the @."),
        (r"@\[", "The address has an IP address in brackets: give a domain name."),
    )
)


class InvalidAddress(ValueError):
    """The text is not one address that mail can be sent to; the message says why."""


@dataclass(frozen=True, slots=True)
class Address:
    """An address: the local part as given, the domain in lower case and A-labels."""

    local: str
    domain: str

    @property
    def address(self) -> str:
        """The address as it stands in an envelope."""
        return f"{self.local}@{self.domain}"

    @property
    def needs_smtputf8(self) -> bool:
        """Whether only a next hop with SMTPUTF8 can take it (RFC 6531)."""
        return not self.local.isascii()

    @property
    def suppression_key(self) -> str:
        """The key under which standing orders are kept: case is ignored, tags are not."""
        return self.address.casefold()


def parse_address(text: str) -> Address:
    """Return the one address in ``text``, around which blanks are ignored.

    Display names, IP literals, quoted local parts and domains without a dot are refused;
    reserved names such as example.com are not. Raises InvalidAddress.
    """
    text = text.strip(" \t\r\n")
    if len(text) > MAX_ADDRESS_OCTETS:
        raise InvalidAddress(
            f"The address has {len(text)} characters: at most {MAX_ADDRESS_OCTETS} are possible."
        )
    plain = _match_plain(text)
    if plain is not None and len(plain[1]) <= MAX_LOCAL_OCTETS:
        return Address(plain[1], plain[2].lower())
    return _parse_unusual(text)


def _parse_unusual(text: str) -> Address:
    _refuse_common_mistakes(text)
    local, _, domain = text.partition("@")
    address = Address(_normal_local(local), _normal_domain(domain))
    octets = len(address.address.encode())
    if octets > MAX_ADDRESS_OCTETS:
        raise InvalidAddress(
            f"The address has {octets} octets on the wire:"
            f" at most {MAX_ADDRESS_OCTETS} are possible."
        )
    return address


def _refuse_common_mistakes(text: str) -> None:
    for found, message in _MISTAKES:
        if found(text):
            raise InvalidAddress(message)
    for position, character in enumerate(text, start=1):
        if not character.isprintable():
            raise InvalidAddress(
                f"The address has the invisible character U+{ord(character):04X}"
                f" at position {position}: remove it."
            )


def _normal_local(local: str) -> str:
    local = unicodedata.normalize("NFC", local)
    # Outside ASCII every printable character is an atom character (RFC 6532 section 3.2).
    if not _is_dot_atom(re.sub(r"[^\x00-\x7f]", "x", local)):
        raise InvalidAddress(
            f"The part before the @, {local!r}, has a character that is not allowed there,"
            " or a dot at its start, at its end or next to another dot."
        )
    octets = len(local.encode())
    if octets > MAX_LOCAL_OCTETS:
        raise InvalidAddress(
            f"The part before the @ has {octets} octets: at most {MAX_LOCAL_OCTETS} are possible."
        )
    return local


def _normal_domain(domain: str) -> str:
    try:
        ascii_domain = domain.lower() if _needs_no_idna(domain) else _to_a_labels(domain)
    except idna.IDNAError as error:
        raise InvalidAddress(f"The domain {domain!r} is not valid: {error}.") from error
    if "." not in ascii_domain:
        raise InvalidAddress(f"The domain {domain!r} has no dot: give the full domain name.")
    if not _is_hostname(ascii_domain):
        raise InvalidAddress(
            f"The domain {domain!r} is not a host name: it needs labels of letters, digits and"
            " inner hyphens, each at most 63 long, and the last one must not be a number."
        )
    return ascii_domain


def _needs_no_idna(domain: str) -> bool:
    return domain.isascii() and "xn--" not in domain.lower()


def _to_a_labels(domain: str) -> str:
    return idna.encode(domain, uts46=True, std3_rules=True).decode("ascii")
