"""Run Celery workers as an operator does, and do to them what happens to processes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.faults import clock
from tests.processes import ROOT, program


class Crew:
    """The workers of one round, each in a process group of its own.

    `supervise` replaces those that have ended, as a service manager does.
    """

    def __init__(self, *, log: Path, environment: Mapping[str, str]) -> None:
        self._log = log
        self._environment = dict(environment)
        self._stack = contextlib.ExitStack()
        self._started = 0
        self.workers: list[subprocess.Popen[bytes]] = []

    def start(
        self, number: int = 1, *, role: tuple[str, ...] = ("worker",), clock_error: str = ""
    ) -> None:
        """Start this many more; returns before they are ready."""
        environment = self._environment | (clock.environment(clock_error) if clock_error else {})
        for _ in range(number):
            self._started += 1
            own_name = ("-n", f"w{self._started}@%h") if role == ("worker",) else ()
            self.workers.append(
                self._stack.enter_context(
                    program(
                        "-m", "celery", "-A", "billionmail", *role, *own_name,
                        log=self._log, PYTHONPATH=str(ROOT), **environment,
                    )
                )
            )  # fmt: skip

    def kill(self, worker: subprocess.Popen[bytes]) -> None:
        """End its whole process group at once, and collect it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
        self.workers.remove(worker)

    def kill_all(self) -> None:
        """Leave nobody alive."""
        for worker in list(self.workers):
            self.kill(worker)

    def has_casualties(self) -> bool:
        """Tell whether somebody has ended by itself."""
        return any(worker.poll() is not None for worker in self.workers)

    def supervise(self) -> None:
        """Replace those that have ended by themselves."""
        alive = [worker for worker in self.workers if worker.poll() is None]
        ended = len(self.workers) - len(alive)
        self.workers = alive
        self.start(ended)

    def close(self) -> None:
        """End everybody."""
        self.kill_all()
        self._stack.close()
