"""Find the well-known domain that a mistyped one was meant to be."""

from __future__ import annotations

from collections.abc import Iterator

# The domains that most addresses of people have, the commonest first.
_KNOWN = """
    gmail.com yahoo.com hotmail.com outlook.com icloud.com googlemail.com protonmail.com
    comcast.net verizon.net fastmail.com yahoo.co.uk hotmail.co.uk yahoo.fr hotmail.fr
    hotmail.de hotmail.it yahoo.de yahoo.it yahoo.es hotmail.es yahoo.com.br orange.fr
    wanadoo.fr yandex.ru t-online.de rocketmail.com foxmail.com yahoo.ca yahoo.co.in
"""
KNOWN = _KNOWN.split()
# These are real, and differ from one of the above by one letter.
REAL = frozenset(
    {
        *("mail.com", "email.com", "ymail.com", "gmx.com", "rmail.com", "zmail.com", "hmail.com"),
        *("fmail.com", "gmail.de", "icloud.de", "yandex.com", "range.fr", "grange.fr"),
    }
)
# What people type for .com, and no domain of a provider ends with.
ENDINGS = frozenset(
    {
        *("co", "cm", "om", "con", "cmo", "ocm", "vom", "xom", "cim", "cpm", "comm", "coom"),
        *("ccom", "cok", "col", "c"),
    }
)
MIN_LETTERS = 5


def meant_domain(domain: str) -> str:
    """Return the domain that was probably meant; empty when it looks as if it was meant so."""
    if domain in KNOWN or domain in REAL:
        return ""
    name, _, ending = domain.partition(".")
    return next(_candidates(name, ending), "")


def _candidates(name: str, ending: str) -> Iterator[str]:
    for known in KNOWN:
        known_name, _, known_ending = known.partition(".")
        if len(known_name) < MIN_LETTERS:
            continue
        is_slip = ending == known_ending or (known_ending == "com" and ending in ENDINGS)
        if is_slip and (name == known_name or is_one_slip(name, known_name)):
            yield known


def is_one_slip(typed: str, meant: str) -> bool:
    """Tell whether one letter was left out, added, exchanged, or swapped with its neighbour."""
    if typed == meant or abs(len(typed) - len(meant)) > 1:
        return False
    start = next(
        (place for place, (a, b) in enumerate(zip(typed, meant, strict=False)) if a != b),
        min(len(typed), len(meant)),
    )
    left, right = typed[start:], meant[start:]
    return (
        left[1:] == right[1:]  # exchanged
        or left[1:] == right  # added
        or left == right[1:]  # left out
        or (left[:2] == right[1::-1] and left[2:] == right[2:])  # swapped
    )
