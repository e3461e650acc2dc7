"""Run private Postfix, Exim and OpenSMTPD servers that leave nothing behind.

Each listens on the loopback, keeps what ann@example.org and ann+any@example.org get, and refuses
other recipients. Mail to lost@example.org is accepted but comes back as a bounce.
"""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.rig.jail import give, jail, running
from tests.sink import free_port

CONFIGURATIONS = Path(__file__).parent / "mail"
PATIENCE_SECONDS = 60
MAX_OCTETS = 200_000
USERNAME, PASSWORD = "ann", "pässword"


@dataclass(frozen=True)
class MailServer:
    """A running server: where it listens, what it delivered, what it logged.

    On `tls_port` it speaks TLS from the start, on `port` it offers STARTTLS.
    """

    package: str
    port: int
    tls_port: int
    root: Path
    log_file: str
    greeting: str  # what it logs for each new connection

    def arrived(self, count: int, *, box: str = "box") -> list[bytes]:
        """Wait for so many delivered messages and return them, the lines ending in LF."""
        folder = self.root / "mail" / box / "new"
        wait_until(lambda: len(list(folder.glob("*"))) >= count, what=lambda: self.log)
        return [path.read_bytes() for path in folder.iterdir()]

    def logged(self, pattern: str) -> str:
        """Wait for the pattern in the log and return the line."""
        found = re.compile(f"^.*{pattern}.*$", re.MULTILINE)
        wait_until(lambda: found.search(self.log), what=lambda: self.log)
        return found.search(self.log)[0]

    @property
    def log(self) -> str:
        """All it told so far."""
        path = self.root / self.log_file
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def connections(self) -> int:
        """How many it took, apart from the one that looked whether it was there."""
        return len(re.findall(self.greeting, self.log)) - 1


@contextlib.contextmanager
def postfix(*, pem: bytes, settings: str = "") -> Iterator[MailServer]:
    """Run a Postfix; `pem` is its key and certificate, `settings` are more lines of main.cf."""
    with jail("postfix", users=("postfix", "nobody"), groups=("postdrop",)) as root:
        server = _server("postfix", root, log_file="var/log/mail.log", greeting=r"\]: connect from")
        etc = root / "etc/postfix"
        _configure(server, etc / "main.cf", settings=settings)
        _configure(server, etc / "master.cf")
        (etc / "tls.pem").write_bytes(pem)
        give(root / "var/lib/postfix", mode=0o700)
        give(root / "var/log")
        spool = root / "var/spool/postfix"
        (spool / "pid").mkdir(parents=True)
        for name in ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold",
                     "incoming", "private", "saved", "trace"):  # fmt: skip
            give(spool / name, mode=0o700)
        give(spool / "maildrop", mode=0o730)
        give(spool / "public", mode=0o710)
        with running(root, "/usr/lib/postfix/sbin/master", "-s"):
            yield _ready(server)


@contextlib.contextmanager
def exim(*, pem: bytes, settings: str = "") -> Iterator[MailServer]:
    """Run an Exim; `settings` are more lines for the main part of its configuration."""
    with jail("exim4-daemon-light", users=("Debian-exim",)) as root:
        server = _server(
            "exim4-daemon-light",
            root,
            log_file="var/log/exim4/mainlog",
            greeting="SMTP connection from .* count",
        )
        etc = root / "etc/exim4"
        _configure(server, etc / "exim4.conf", settings=settings)
        (etc / "tls.pem").write_bytes(pem)
        (etc / "tls.pem").chmod(0o644)
        give(root / "var/spool/exim4")
        give(root / "var/log/exim4")
        with running(root, "/usr/sbin/exim4", "-bdf", "-q1h"):
            yield _ready(server)


@contextlib.contextmanager
def opensmtpd(*, pem: bytes, settings: str = "") -> Iterator[MailServer]:
    """Run an OpenSMTPD, which cannot use `pem`; `settings` are more lines of smtpd.conf."""
    with jail("opensmtpd", users=("opensmtpd", "opensmtpq")) as root:
        server = _server("opensmtpd", root, log_file="output", greeting=" smtp connected ")
        (root / "var/lib/opensmtpd/empty").mkdir(parents=True, exist_ok=True)
        (root / "var/spool/smtpd").mkdir(parents=True, exist_ok=True)
        (root / "var/spool/smtpd").chmod(0o711)
        _configure(server, root / "etc/smtpd.conf", settings=settings)
        with running(root, "/usr/sbin/smtpd", "-d"):
            yield _ready(server)


def wait_until(is_so: Callable[[], object], *, what: Callable[[], str]) -> None:
    """Wait for something to become so; raise TimeoutError with `what` instead."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(what())
        time.sleep(0.02)


def _server(package: str, root: Path, *, log_file: str, greeting: str) -> MailServer:
    give(root / "mail", mode=0o777)
    return MailServer(
        package=package,
        port=free_port(),
        tls_port=free_port(),
        root=root,
        log_file=log_file,
        greeting=greeting,
    )


def _configure(server: MailServer, path: Path, *, settings: str = "") -> None:
    """Write a configuration file of this package with the ports and settings filled in."""
    text = (CONFIGURATIONS / path.name).read_text()
    values = {
        "port": str(server.port),
        "tls_port": str(server.tls_port),
        "settings": settings,
    }
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o644)


def _ready(server: MailServer) -> MailServer:
    """Wait until the server greets on its first port."""
    wait_until(lambda: _greets(server.port), what=lambda: _why(server))
    return server


def _greets(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connected:
            greeting = connected.recv(100)
            connected.sendall(b"QUIT\r\n")
            connected.recv(100)
            return greeting.startswith(b"220")
    except OSError:
        return False


def _why(server: MailServer) -> str:
    return "\n".join([(server.root / "output").read_text(errors="replace"), server.log])
