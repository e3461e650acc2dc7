"""Receive bounces and complaints by mail, until stopped."""

from __future__ import annotations

import signal
import threading
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from tracking.intake import DEFAULT_MAX_BYTES, ReportServer

DEFAULT_PORT = 2526


class Command(BaseCommand):
    """Serve SMTP or LMTP for the report addresses."""

    help = (
        "Takes in bounces, complaints and automatic answers over SMTP or LMTP. Let your mail "
        "server route the return-path domains here, for example in Postfix's transport_maps: "
        "bounce.example.com smtp:[127.0.0.1]:2526"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare what can be given."""
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
        parser.add_argument(
            "--port", type=int, default=DEFAULT_PORT, help=f"default {DEFAULT_PORT}; 0: a free one"
        )
        parser.add_argument("--lmtp", action="store_true", help="speak LMTP instead of SMTP")
        parser.add_argument(
            "--max-bytes", type=int, default=DEFAULT_MAX_BYTES, help="longest mail that is taken"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Serve until SIGTERM or Ctrl-C."""
        stopping = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopping.set())
        server = ReportServer(
            host=options["host"],
            port=options["port"],
            is_lmtp=options["lmtp"],
            max_bytes=options["max_bytes"],
        )
        try:
            server.start()
        except OSError as error:
            raise CommandError(str(error)) from error
        protocol = "LMTP" if options["lmtp"] else "SMTP"
        self.stdout.write(f"Receiving reports by {protocol} on {server.host}:{server.port}")
        self.stdout.flush()
        stopping.wait()
        server.stop()
