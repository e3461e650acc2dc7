"""Sign messages with DKIM (RFC 6376): rsa-sha256, relaxed/relaxed, no length limit.

Every header of ``SIGNED_HEADERS`` is signed once more than it occurs, so that adding another one
breaks the signature as surely as changing the first.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

KEY_BITS = 2048
MIN_KEY_BITS = 1024  # RFC 8301 section 3.2
SIGNED_HEADERS = (
    "From",
    "To",
    "Reply-To",
    "Subject",
    "Date",
    "Message-ID",
    "MIME-Version",
    "Content-Type",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "Feedback-ID",
)

_LINE = 76
_is_dns_name = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*", re.IGNORECASE).fullmatch
_blanks = re.compile(r"[ \t\r\n]+")


@dataclass(frozen=True, slots=True)
class DkimKey:
    """A private key and where its public half is published: ``<selector>._domainkey.<domain>``."""

    domain: str
    selector: str
    private_key: rsa.RSAPrivateKey

    def __post_init__(self) -> None:
        """Refuse what cannot be looked up in the DNS, with ValueError."""
        for field, name in (("domain", self.domain), ("selector", self.selector)):
            if not _is_dns_name(name):
                raise ValueError(
                    f"The DKIM {field} {name!r} is not a DNS name: use letters, digits, hyphens"
                    " and dots, with the domain in A-labels."
                )


def load_private_key(pem: str) -> rsa.RSAPrivateKey:
    """Return the RSA key in ``pem``; it is checked, which takes milliseconds, so keep the result.

    Raises ValueError when it is damaged, encrypted, not RSA or shorter than RFC 8301 allows.
    """
    try:
        key = serialization.load_pem_private_key(pem.encode(), password=None)
    except TypeError as error:
        raise ValueError("The DKIM key is encrypted: store it without a passphrase.") from error
    except ValueError as error:
        raise ValueError(
            "The DKIM key is damaged or no PEM: paste it whole, or renew it."
        ) from error
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError("The DKIM key is not an RSA key: generate one with RSA-2048.")  # noqa: TRY004
    if key.key_size < MIN_KEY_BITS:
        raise ValueError(
            f"The DKIM key has {key.key_size} bits, fewer than {MIN_KEY_BITS}: generate a new one."
        )
    return key


def generate_key() -> tuple[str, str]:
    """Return a new private key as PEM, and the TXT record that publishes its public half."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return pem.decode("ascii"), dns_record(key.public_key())


def dns_record(public_key: rsa.RSAPublicKey) -> str:
    """Return the value of the TXT record; it is longer than the 255 octets of one DNS string."""
    der = public_key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return f"v=DKIM1; k=rsa; p={_base64(der)}"


def sign(key: DkimKey, headers: Sequence[tuple[str, str]], body: bytes, *, now: datetime) -> bytes:
    """Return the DKIM-Signature header, with its line end, to be put before ``headers``.

    ``headers`` are names and values as they go on the wire, folded or not; ``body`` has CRLF line
    ends. The same arguments give the same signature.
    """
    names = _names_to_sign(headers)
    body_hash = hashlib.sha256(_relaxed_body(body)).digest()
    tags = (
        f"v=1; a=rsa-sha256; c=relaxed/relaxed; t={int(now.timestamp())};\r\n"
        f" d={key.domain};\r\n"
        f" s={key.selector};\r\n"
        f" h={_fold_names(names)};\r\n"
        f" bh={_base64(body_hash)};\r\n"
        " b="
    )
    signed = [_relaxed_header(name, value) for name, value in _select(headers, names)]
    signed.append(_relaxed_header("DKIM-Signature", tags))
    octets = "\r\n".join(signed).encode()
    signature = _base64(key.private_key.sign(octets, padding.PKCS1v15(), hashes.SHA256()))
    return f"DKIM-Signature: {tags}{_fold_signature(signature)}\r\n".encode("ascii")


def _names_to_sign(headers: Iterable[tuple[str, str]]) -> list[str]:
    present = [name.lower() for name, _ in headers]
    return [name for name in SIGNED_HEADERS for _ in range(present.count(name.lower()) + 1)]


def _select(headers: Sequence[tuple[str, str]], names: Iterable[str]) -> Iterable[tuple[str, str]]:
    """Yield the header that each name stands for: the lowest not yet taken (section 5.4.2)."""
    remaining: dict[str, list[tuple[str, str]]] = {}
    for header in headers:
        remaining.setdefault(header[0].lower(), []).append(header)
    for name in names:
        if occurrences := remaining.get(name.lower()):
            yield occurrences.pop()


def _relaxed_header(name: str, value: str) -> str:
    """Apply section 3.4.2, without the line end."""
    return f"{name.lower()}:{_blanks.sub(' ', value).strip(' ')}"


def _relaxed_body(body: bytes) -> bytes:
    """Apply section 3.4.4. Replacing pairs of blanks until none is left beats a regex tenfold."""
    body = body.replace(b"\t", b" ")
    while b"  " in body:
        body = body.replace(b"  ", b" ")
    body = body.replace(b" \r\n", b"\r\n").rstrip(b" \r\n")
    return body + b"\r\n" if body else b""


def _fold_names(names: Iterable[str]) -> str:
    lines = [" h="]
    for name in names:
        if len(lines[-1]) + len(name) + 1 > _LINE:
            lines.append("  ")
        lines[-1] += f"{name}:"
    return "\r\n".join(lines)[len(" h=") : -1]


def _fold_signature(signature: str) -> str:
    width = _LINE - len(" b=")
    return "\r\n ".join(signature[at : at + width] for at in range(0, len(signature), width))


def _base64(octets: bytes) -> str:
    return base64.b64encode(octets).decode("ascii")
