"""Do something in a few seconds, away from the request that asks for it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from django.db import connection

SECONDS = 5.0


class Later:
    """Call `act` a few seconds after it was asked for, once however often; also after a fork."""

    def __init__(self, act: Callable[[], None]) -> None:
        self._act = act
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def ask(self) -> None:
        """Ask for it; return at once."""
        with self._lock:
            # A fork leaves the threads of its parent behind.
            if self._timer is None or not self._timer.is_alive():
                self._timer = threading.Timer(SECONDS, self._run)
                self._timer.daemon = True
                self._timer.start()

    def _run(self) -> None:
        with self._lock:
            self._timer = None
        self._act()
        connection.close()
