"""Store the opens and clicks that this host has spooled."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from tracking import drainer, spool


class Command(BaseCommand):
    """Drain the spool once; web processes and workers do so all the time."""

    help = "Stores the opens and clicks that wait in DATA_DIR/spool, unless a process does already."

    def handle(self, *args: Any, **options: Any) -> None:
        """Say how many were stored."""
        home = spool.directory()
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with spool.locked(home / drainer.LOCK) as is_ours:
            if not is_ours:
                raise CommandError(f"Another process drains {home} at this moment: nothing to do.")
            count = drainer.drain(home)
        self.stdout.write(f"{count} opens and clicks were stored.")
