"""Run all of BillionMail in one place without any server to install: `make run`, `make demo`.

One gunicorn worker process serves the pages and the API; a Celery worker (with the deliverer) and
the mail catcher are threads in it. The database is SQLite, the broker the process's own memory.
State lives in `DATA_DIR`; the rows are the queue, so mail that is still waiting when this stops is
sent at the next start.
"""

from __future__ import annotations

import os
import secrets
import socket
import sys
import threading
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import connections
from gunicorn.app.base import BaseApplication

from billionmail.celery import app as celery_app

HOST = "127.0.0.1"
SECRETS = ("SECRET_KEY", "API_KEY_HASH_KEY", "ENCRYPTION_KEYS", "SIGNING_KEYS")
# How it was started, which commands that are run beside it have to know.
KEPT = ("PUBLIC_URL", "SIMULATOR_DOMAIN")
CATCHER_PORT = 2525
WEB_THREADS = 8


def main() -> None:
    """Prepare what is missing, then serve until Ctrl-C or SIGTERM."""
    port = _port()
    data_dir = Path(os.environ.get("DATA_DIR", "var")).resolve()
    os.environ["DATA_DIR"] = str(data_dir)
    os.environ.setdefault("PUBLIC_URL", f"http://{HOST}:{port}")
    os.environ.setdefault("MAIL_CATCHER", "true")
    os.environ.setdefault("SIMULATOR_DOMAIN", "simulator.example")
    os.environ.setdefault("LOG_LEVEL", "WARNING")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billionmail.settings")
    _require_free(port, what="PORT", hint=f"PORT={port + 1} make run")
    _prepare(data_dir)
    try:
        django.setup()
    except ImproperlyConfigured as error:
        sys.exit(f"{error} Is DATA_DIR right? .env.example explains every variable.")
    call_command("check")
    print("Preparing the database ...", flush=True)
    call_command("migrate", interactive=False, verbosity=0)
    call_command("prepare_trial")
    if "--demo" in sys.argv[1:]:
        print("Making up some weeks of mail ...", flush=True)
        call_command("seed_demo", beside_real_mail=True)
    connections.close_all()
    _require_free(
        settings.MAIL_CATCHER_PORT,
        what="MAIL_CATCHER_PORT",
        hint="end the program that uses it, or set another in " + str(settings.GENERATED_ENV_FILE),
    )
    Server(port).run()


def _port() -> int:
    text = os.environ.get("PORT", "8000")
    if not text.isdigit() or not 0 < int(text) < 65536:
        sys.exit(f"PORT is {text!r}; it must be a number from 1 to 65535.")
    return int(text)


def _require_free(port: int, *, what: str, hint: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            sys.exit(f"Port {port} ({what}) cannot be used: {error.strerror}. Try: {hint}")


def _prepare(data_dir: Path) -> None:
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (data_dir / "generated.env").exists():
            _generate(data_dir / "generated.env")
        _keep(data_dir / "generated.env")
    except OSError as error:
        sys.exit(
            f"DATA_DIR is {data_dir}, which cannot be used: {error.strerror}. "
            "Set it to a directory in which you may write."
        )


def _generate(path: Path) -> None:
    """Write the secrets of this installation and its catcher's port; readable to its owner only."""
    lines = [f"{name}={secrets.token_urlsafe(48)}" for name in SECRETS]
    lines.append(f"MAIL_CATCHER_PORT={_free_port(CATCHER_PORT)}")
    _write(path, lines)


def _keep(path: Path) -> None:
    """Write down beside the secrets how it was started this time."""
    known = path.read_text().splitlines()
    lines = [line for line in known if line.partition("=")[0] not in KEPT]
    lines += [f"{name}={os.environ[name]}" for name in KEPT]
    if lines != known:
        _write(path, lines)


def _write(path: Path, lines: list[str]) -> None:
    """Put the file in its place whole: without its secrets nothing could be read any more."""
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write("\n".join(lines) + "\n")
        file.flush()
        os.fsync(descriptor)
    new.replace(path)


def _free_port(wanted: int) -> int:
    for port in (wanted, 0):
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return probe.getsockname()[1]
    sys.exit("No port is free on this machine.")


class Server(BaseApplication):
    """gunicorn with one worker, in which everything else runs as threads."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._services = Services()
        super().__init__()

    def load_config(self) -> None:
        """Give gunicorn its options."""
        options: dict[str, Any] = {
            "bind": f"{HOST}:{self._port}",
            "workers": 1,  # the memory broker is one process's own
            "threads": WEB_THREADS,
            "worker_class": "billionmail.gunicorn_worker.DeadlineWorker",
            "graceful_timeout": 30,
            "loglevel": "warning",
            "control_socket_disable": True,
            "proc_name": "billionmail",
            "post_worker_init": self._started,
            "worker_exit": self._stopped,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """Return the WSGI application."""
        from billionmail.wsgi import application  # noqa: PLC0415 - in the worker, after the fork

        return application

    def _started(self, worker: Any) -> None:
        from tracking import reach  # noqa: PLC0415 - as above

        self._services.start()
        reach.look_soon()
        call_command("prepare_trial", show=True)

    def _stopped(self, server: Any, worker: Any) -> None:
        self._services.stop()


class Services:
    """The mail catcher and the Celery worker of the embedded installation."""

    def start(self) -> None:
        """Start them as threads of this process."""
        from billionmail.catcher.inbox import inbox_directory  # noqa: PLC0415
        from billionmail.catcher.server import CatcherServer  # noqa: PLC0415

        self._catcher = CatcherServer(port=settings.MAIL_CATCHER_PORT, directory=inbox_directory())
        self._catcher.start()
        self._worker = celery_app.WorkController(
            pool="threads",
            concurrency=1,
            without_heartbeat=True,
            without_mingle=True,
            without_gossip=True,
        )
        self._thread = threading.Thread(target=self._worker.start, name="celery", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish what is on the wire, then stop them."""
        self._worker.stop()
        self._catcher.stop()


if __name__ == "__main__":
    main()
