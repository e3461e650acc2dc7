"""Ask people for a second thing besides the password: a one-time password of an app (RFC 6238).

The only writer of SecondFactor and RecoveryCode. Secrets are encrypted at rest, recovery codes are
kept as hashes, and every password is taken once.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime
from typing import Any

import pyotp
import segno
from django.db import transaction

from guard.models import RecoveryCode, SecondFactor

ISSUER = "BillionMail"
# Clocks differ: the step before and the one after are taken too (RFC 6238 section 5.2).
STEP_SECONDS = 30
SKEW_STEPS = 1
SET_UP_SECONDS = 600
CODES = 10
CODE_BYTES = 10
SESSION_KEY = "second_factor"


def factor_of(user: Any) -> SecondFactor | None:
    """Return what the person is asked for at the sign-in, None when that is the password alone."""
    # Read together with the person; who has none has no such attribute.
    factor: SecondFactor | None = getattr(user, "second_factor", None)
    return factor if factor and factor.confirmed_at else None


def begin(user: Any, *, now: datetime) -> SecondFactor:
    """Return what is being set up: the same for ten minutes, so that a page can be loaded again.

    Raises ValueError when the person has a second factor already.
    """
    with transaction.atomic():
        factor, _ = SecondFactor.objects.select_for_update().get_or_create(
            user=user, defaults={"secret": pyotp.random_base32(), "created_at": now}
        )
        if factor.confirmed_at:
            raise ValueError("There is a second factor already.")
        if (now - factor.created_at).total_seconds() > SET_UP_SECONDS:
            factor.secret, factor.created_at = pyotp.random_base32(), now
            factor.save(update_fields=["secret", "created_at"])
    return factor


def address(factor: SecondFactor) -> str:
    """Return the otpauth address that an app reads."""
    name = factor.user.get_username()
    return pyotp.TOTP(factor.secret).provisioning_uri(name=name, issuer_name=ISSUER)


def picture(factor: SecondFactor) -> str:
    """Return the address as a picture for a camera: SVG that can stand in a page."""
    return str(segno.make(address(factor), error="m").svg_inline(scale=5, border=2, light="#fff"))


def confirm(factor: SecondFactor, password: str, *, now: datetime) -> list[str] | None:
    """Let the factor count from now on if its first password is right; return the recovery codes.

    They can never be read again. None: the password is wrong.
    """
    with transaction.atomic():
        held = SecondFactor.objects.select_for_update().get(pk=factor.pk)
        if held.confirmed_at or not _takes(held, password, now=now):
            return None
        held.confirmed_at = now
        held.save(update_fields=["confirmed_at"])
        return renew_codes(held)


def check(factor: SecondFactor, password: str, *, now: datetime) -> bool:
    """Tell whether the person may come in: by a one-time password or a recovery code, once each."""
    with transaction.atomic():
        held = SecondFactor.objects.select_for_update().filter(pk=factor.pk).first()
        if held is None:
            return False
        if _takes(held, password, now=now):
            return True
        unused = held.codes.filter(code_hash=_hash(held, password), used_at=None)
        return bool(unused.update(used_at=now))


def renew_codes(factor: SecondFactor) -> list[str]:
    """Make new recovery codes and forget the ones before; return them, readable this once."""
    codes = [_code() for _ in range(CODES)]
    with transaction.atomic():
        factor.codes.all().delete()
        RecoveryCode.objects.bulk_create(
            RecoveryCode(factor=factor, code_hash=_hash(factor, code)) for code in codes
        )
    return codes


def codes_left(factor: SecondFactor) -> int:
    """Return how many recovery codes are unused."""
    return factor.codes.filter(used_at=None).count()


def remove(user: Any) -> bool:
    """Ask the person for the password alone again; return whether there was a second factor."""
    return bool(SecondFactor.objects.filter(user=user).delete()[0])


def _takes(factor: SecondFactor, password: str, *, now: datetime) -> bool:
    """Tell whether it is a one-time password of about now that was not taken yet, and take it."""
    given = "".join(password.split())
    totp, step = pyotp.TOTP(factor.secret), int(now.timestamp()) // STEP_SECONDS
    for one in range(max(step - SKEW_STEPS, factor.last_step + 1), step + SKEW_STEPS + 1):
        if hmac.compare_digest(totp.at(one * STEP_SECONDS).encode(), given.encode()):
            factor.last_step = one
            factor.save(update_fields=["last_step"])
            return True
    return False


def _code() -> str:
    text = pyotp.random_base32()[: CODE_BYTES * 8 // 5].lower()
    return "-".join(text[at : at + 4] for at in range(0, len(text), 4))


def _hash(factor: SecondFactor, code: str) -> str:
    plain = "".join(sign for sign in code.lower() if sign.isalnum())
    return hashlib.sha256(f"{factor.pk}:{plain}".encode()).hexdigest()
