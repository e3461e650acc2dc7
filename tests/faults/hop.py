"""Start the misbehaving next hop, set its mood, and read what it wrote down."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
from collections import defaultdict
from pathlib import Path

from tests.processes import program, wait_until
from tests.sink import free_port


class NextHop:
    """The sink in its own process; it can die and come back on the same port.

    `taken` maps every recipient to the Message-IDs of the copies that were read to the dot.
    """

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self.record = directory / "record"
        self._mood = directory / "mood"
        self._log = directory / "sink.log"
        self._stack = contextlib.ExitStack()
        self._running: subprocess.Popen[bytes] | None = None

    def start(self, *, delay_ms: float = 10, seed: str = "0") -> None:
        """Begin to listen; each message is answered for after the delay."""
        self._running = self._stack.enter_context(
            program(
                "-m", "tests.faults.sink", "--port", str(self.port), "--record", str(self.record),
                "--mood", str(self._mood), "--delay-ms", str(delay_ms), "--seed", seed,
                log=self._log,
            )
        )  # fmt: skip
        wait_until(self._listens)

    def end(self) -> None:
        """Die, with all connections."""
        if self._running is not None and self._running.poll() is None:
            self._running.kill()
            self._running.wait()

    def freeze(self) -> None:
        """Say nothing more, and keep every connection."""
        self._running.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on."""
        self._running.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End for good."""
        self.end()
        self._stack.close()

    def be(self, **moods: object) -> None:
        """Misbehave like this towards every connection; without any, be calm."""
        fresh = self._mood.with_suffix(".new")
        fresh.write_text(json.dumps(moods))
        fresh.replace(self._mood)

    def forget(self) -> None:
        """Begin an empty record."""
        self.record.touch()
        with self.record.open("r+") as record:
            record.truncate(0)

    def count(self) -> int:
        """Return how many messages arrived, copies included."""
        return self.record.read_bytes().count(b"\n")

    @property
    def taken(self) -> dict[str, list[str]]:
        """What arrived: recipient to Message-IDs."""
        found: dict[str, list[str]] = defaultdict(list)
        for line in self.record.read_text().splitlines():
            message_id, recipient, _ = line.split("\t")
            found[recipient].append(message_id)
        return dict(found)

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False
