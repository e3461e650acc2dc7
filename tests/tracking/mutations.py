"""Damage mails in the ways that the internet does, reproducibly."""

from __future__ import annotations

import random
from collections.abc import Sequence

STRANGE = (
    b"\0",
    b"\r",
    b"\n\n",
    b"=?x?b?",
    b"\xff\xfe",
    b'Content-Type: multipart/mixed; boundary="\n',
    b";;;",
    b"@",
    b"\n\n--",
)


def mutate(octets: bytes, *, others: Sequence[bytes], rng: random.Random) -> bytes:
    """Return the mail with one to six mutations."""
    changed = bytearray(octets)
    for _ in range(rng.randint(1, 6)):
        changed = changed or bytearray(b"x")
        at = rng.randrange(len(changed))
        end = min(len(changed), at + rng.randint(1, 200))
        rng.choice(MUTATIONS)(changed, at, end, others, rng)
    return bytes(changed)


def _flip(changed, at, end, others, rng):
    changed[at] = rng.randrange(256)


def _drop(changed, at, end, others, rng):
    del changed[at:end]


def _double(changed, at, end, others, rng):
    changed[at:at] = changed[at:end]


def _truncate(changed, at, end, others, rng):
    del changed[at:]


def _insert(changed, at, end, others, rng):
    changed[at:at] = rng.choice(STRANGE)


def _splice(changed, at, end, others, rng):
    other = rng.choice(others) or b"x"
    start = rng.randrange(len(other))
    changed[at:at] = other[start : start + rng.randint(1, 400)]


def _scramble(changed, at, end, others, rng):
    changed[at:end] = rng.randbytes(end - at)


def _swap_case(changed, at, end, others, rng):
    changed[at:end] = changed[at:end].swapcase()


MUTATIONS = (_flip, _drop, _double, _truncate, _insert, _splice, _scramble, _swap_case)
