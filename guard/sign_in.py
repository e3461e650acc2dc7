"""Let nobody try passwords at speed: the form of the sign-in page counts tries before it looks."""

from __future__ import annotations

import math
from typing import Any

from django.core.exceptions import ValidationError
from unfold.forms import AuthenticationForm

from apikeys import pacing, refusals
from apikeys.addresses import client_address

# Of one name from one address, and of all names from it.
TRIES_PER_MINUTE = 10
TRIES_OF_ADDRESS_PER_MINUTE = 30


class PacedAuthenticationForm(AuthenticationForm):
    """Refuse to look at a password while there were too many tries in the last minute."""

    def clean(self) -> dict[str, Any]:
        """Count the try, then look; the right password is refused too while it is too many."""
        caller = refusals.subscriber(client_address(self.request)) if self.request else "unknown"
        name = str(self.cleaned_data.get("username", "")).casefold()[:150]
        waits = (
            _wait_ms(f"sign-in:{caller}", per_minute=TRIES_OF_ADDRESS_PER_MINUTE),
            _wait_ms(f"sign-in:{caller}:{name}", per_minute=TRIES_PER_MINUTE),
        )
        if any(waits):
            seconds = math.ceil(max(waits) / 1000)
            raise ValidationError(f"Too many tries to sign in. Wait {seconds} s, then try again.")
        return super().clean()


def _wait_ms(name: str, *, per_minute: int) -> int:
    return pacing.limiter().take(name, per_second=per_minute / 60, burst=per_minute)
