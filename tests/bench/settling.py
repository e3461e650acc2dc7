"""Wait until a pipeline has come to rest."""

from __future__ import annotations

import time
from collections.abc import Callable

QUIET_SECONDS = 1.0
LOOK_SECONDS = 0.1
PATIENCE_SECONDS = 600


def settled(stored_and_waiting: Callable[[], tuple[int, int]]) -> int:
    """Wait until nothing waits and nothing was added for a second; return how much is stored.

    Whoever stops asking leaves requests behind that the server still answers: an empty queue
    alone does not say that all is over. Raises RuntimeError when it takes too long.
    """
    began = quiet_since = time.monotonic()
    before = 0
    while time.monotonic() < began + PATIENCE_SECONDS:
        stored, waiting = stored_and_waiting()
        now = time.monotonic()
        if waiting or stored != before or not stored:
            quiet_since, before = now, stored
        elif now > quiet_since + QUIET_SECONDS:
            return stored
        time.sleep(LOOK_SECONDS)
    raise RuntimeError(f"{waiting} of {stored} messages still wait after {PATIENCE_SECONDS} s.")
