"""Run a private PostgreSQL and Redis that leave nothing behind, as an ordinary user."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.sink import free_port

ORDINARY_USERS = ("postgres", "nobody")
START_SECONDS = 30


def find(program: str) -> str:
    """Return the path of a server's program; raise FileNotFoundError naming what to install."""
    found = (
        shutil.which(program)
        or shutil.which(program, path="/usr/sbin")
        or next(
            (
                str(path)
                for path in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"))[::-1]
            ),
            None,
        )
    )
    if found is None:
        raise FileNotFoundError(f"{program} is not installed; `make test` says how.")
    return found


def _as_ordinary_user(directory: Path) -> dict[str, Any]:
    """Return the options of a process without rights; PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    name = next(user for user in ORDINARY_USERS if _exists(user))
    shutil.chown(directory, user=name)
    return {"user": name, "group": pwd.getpwnam(name).pw_gid, "extra_groups": []}


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


@contextlib.contextmanager
def postgres(*, durable: bool = False) -> Iterator[str]:
    """Run a PostgreSQL and yield its DATABASE_URL; `durable`: commits reach the disk."""
    directory = Path(tempfile.mkdtemp(prefix="bm-pg-"))
    rights = _as_ordinary_user(directory)
    cluster = directory / "cluster"
    subprocess.run(
        [find("initdb"), "-D", cluster, "-U", "postgres", "-A", "trust", "-E", "UTF8",
         "--no-locale", "--no-sync"],
        cwd=directory,
        stdout=subprocess.DEVNULL,
        check=True,
        **rights,
    )  # fmt: skip
    settings = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={directory}",
                "-c", "max_connections=200"]  # fmt: skip
    if not durable:
        settings += ["-c", "fsync=off", "-c", "full_page_writes=off"]
    with (directory / "log").open("wb") as log:
        server = subprocess.Popen(
            [find("postgres"), "-D", cluster, *settings],
            cwd=directory,
            stdout=subprocess.DEVNULL,
            stderr=log,
            **rights,
        )
    try:
        ask = [find("psql"), "-h", directory, "-U", "postgres", "-d", "postgres", "-c", "SELECT 1"]
        _wait_until(lambda: _succeeds(ask), server)
        subprocess.run(
            [find("createdb"), "-h", directory, "-U", "postgres", "billionmail"],
            cwd=directory,
            check=True,
        )
        yield f"postgres://postgres@/billionmail?host={directory}"
    finally:
        _stop(server)
        shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def redis() -> Iterator[str]:
    """Run a Redis that keeps nothing and yield its URL."""
    port = free_port()
    directory = Path(tempfile.mkdtemp(prefix="bm-redis-"))
    rights = _as_ordinary_user(directory)
    server = subprocess.Popen(
        [find("redis-server"), "--bind", "127.0.0.1", "--port", str(port), "--save", "",
         "--appendonly", "no"],
        stdout=subprocess.DEVNULL,
        cwd=directory,
        **rights,
    )  # fmt: skip
    ask = [find("redis-cli"), "-p", str(port), "PING"]
    try:
        _wait_until(lambda: _succeeds(ask), server)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        _stop(server)
        shutil.rmtree(directory, ignore_errors=True)


def _succeeds(command: list[str | Path]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _wait_until(is_ready: Callable[[], object], server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not is_ready():
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{server.args!r} did not start")
        time.sleep(0.05)


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(timeout=60)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
