"""Take mail to the simulator's domain instead of a server: nothing leaves this machine.

What happens later (a bounce, an open, a complaint) is played by what SIMULATOR_OUTCOMES names, in
a later app, and comes back by the same ways as the real thing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Protocol

from django.conf import settings
from django.utils.module_loading import import_string

from sending.errors import LeaseLost, Phase, Reply, TransientError
from sending.mime import build
from sending.outgoing import Outgoing
from sending.transports.base import Finding, Receipt

SLOW_SECONDS = 5.0
# A message that is younger is told to come again; the second try comes after a minute.
DEFERRED_FOR = timedelta(seconds=45)


class Play(Protocol):
    """Let happen later what happens to a mail that was taken."""

    def __call__(self, content: bytes, *, scene: str, envelope_sender: str, recipient: str) -> None:
        """Return at once."""


class SimulatorTransport:
    """A next hop in this process; the recipient's local part says what it does."""

    def send(self, outgoing: Outgoing, *, before_body: Callable[[], bool]) -> Receipt:
        """Take one message; see ``Transport.send``."""
        scene = scene_of(outgoing.recipient)
        if scene == "defer" and datetime.now(UTC) - outgoing.date < DEFERRED_FOR:
            reply = Reply(450, "4.2.0", "Simulated: come again later")
            raise TransientError(f"The simulator: {reply}", phase=Phase.RCPT, reply=reply)
        content = build(outgoing)
        if not before_body():
            raise LeaseLost("Another worker owns this message now; it was not sent.")
        if scene == "slow":
            time.sleep(SLOW_SECONDS)
        _play(settings.SIMULATOR_OUTCOMES)(
            content,
            scene=scene,
            envelope_sender=outgoing.envelope_sender,
            recipient=outgoing.recipient,
        )
        return Receipt(Reply(250, "2.0.0", f"Simulated: {scene}"), transport_id="simulated")

    def check(self) -> list[Finding]:
        """Tell what it is."""
        return [Finding(ok=True, text="Mail by this route is simulated; nothing leaves.")]

    def close(self) -> None:
        """Do nothing: there is no connection."""


def scene_of(recipient: str) -> str:
    """Return what is played for an address: its local part, without a tag."""
    return recipient.rpartition("@")[0].partition("+")[0].lower()


@cache
def _play(path: str) -> Play:
    play: Play = import_string(path)
    return play
