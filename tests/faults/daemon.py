"""Freeze, end and bring back a server that somebody else has started."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.processes import wait_until


class Daemon:
    """A running server, known by its process id; it comes back where it was, as who it was.

    `command` is how it was started.
    """

    def __init__(self, pid: int, *, command: Sequence[str]) -> None:
        self.pid = pid
        entry = Path(f"/proc/{pid}")
        self._command = command
        self._running: subprocess.Popen[bytes] | None = None
        self._directory = (entry / "cwd").readlink()
        owner = entry.stat()
        self.user = owner.st_uid
        self._rights: dict[str, Any] = (
            {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
            if os.geteuid() == 0
            else {}
        )

    def freeze(self) -> None:
        """Stop it in the middle of whatever it does: it neither answers nor hangs up."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def end(self, number: int) -> None:
        """End it with this signal and wait until it is gone."""
        os.kill(self.pid, number)
        # Whoever started it may still want to collect it.
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        if self._running is not None:
            self._running.wait()

    def start_again(self, *, is_ready: Callable[[], object]) -> None:
        """Start it as it was started first, and wait until it is ready."""
        self._running = subprocess.Popen(
            self._command,
            cwd=self._directory,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            **self._rights,
        )
        self.pid = self._running.pid
        wait_until(is_ready)

    def close(self) -> None:
        """End what this has started itself."""
        if self._running is not None and self._running.poll() is None:
            self.thaw()
            self._running.terminate()
            self._running.wait(timeout=30)
