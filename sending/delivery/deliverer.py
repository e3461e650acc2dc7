"""Keep one delivering thread in a worker process, woken by the bell and by the clock."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from django.conf import settings
from django.db import InterfaceError, OperationalError, close_old_connections, connection

from sending import pacing
from sending.delivery.run import Run, deliver_due

log = logging.getLogger(__name__)

PAUSE_SECONDS = 1
STOP_SECONDS = 60


class Deliverer:
    """A thread that delivers what is due until it is stopped, whatever goes wrong meanwhile."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._run = Run()
        self._thread = threading.Thread(target=self._work, name="deliverer", daemon=True)

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def is_running(self) -> bool:
        """Tell whether somebody answers the bell here (not so in a forked child)."""
        return self._thread.is_alive()

    def wake(self) -> None:
        """Look for due messages now."""
        self._run.look_soon()

    def stop(self) -> None:
        """Claim nothing more, finish what is on the wire, give back the rest. Waits for it."""
        self._stopping.set()
        self._run.look_soon()
        if self._thread.is_alive():
            self._thread.join(timeout=STOP_SECONDS)

    def _work(self) -> None:
        while not self._stopping.is_set():
            if self._guarded(self._deliver):
                self._guarded(self._wait)
        for _ in range(STOP_SECONDS):
            if self._guarded(self._run.wind_down):
                break
        connection.close()

    def _deliver(self) -> None:
        close_old_connections()
        self._run.until_empty(stopping=self._stopping)

    def _wait(self) -> None:
        self._run.wait(pacing.pause_seconds(settings.SWEEP_SECONDS))

    def _guarded(self, step: Callable[[], None]) -> bool:
        """Run one step; when it fails, let time pass and return False.

        The run keeps what it holds, so that the next call goes on where this one was.
        """
        try:
            step()
        except (OperationalError, InterfaceError) as error:
            log.error("The database did not answer; trying again: %s", error)  # noqa: TRY400
            connection.close()
        except Exception:
            # Whatever it is, the mail of tomorrow must not wait for somebody to restart this.
            log.exception("Delivery failed; trying again")
        else:
            return True
        self._pause()
        return False

    def _pause(self) -> None:
        try:
            self._run.rest(PAUSE_SECONDS)
        except Exception:  # a pause must end in another try, not in the end of the thread
            log.exception("The open connections cannot be seen to")
            time.sleep(PAUSE_SECONDS)


_deliverer: Deliverer | None = None


def start() -> None:
    """Start this process's deliverer; does nothing when it runs already."""
    global _deliverer
    if _deliverer is None or not _deliverer.is_running():
        _deliverer = Deliverer()
        _deliverer.start()


def stop() -> None:
    """Stop this process's deliverer, if it has one."""
    if _deliverer is not None:
        _deliverer.stop()


def deliver_soon() -> None:
    """Wake this process's deliverer; a process that has none delivers here and now."""
    if _deliverer is not None and _deliverer.is_running():
        _deliverer.wake()
    else:
        deliver_due()
