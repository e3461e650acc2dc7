"""Count everything anew: ``manage.py rebuild_stats [--check]``."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from stats import rollups

SHOWN = 20
BAR = 30


class Command(BaseCommand):
    """Replace the counts by what the event log says, or say where they differ."""

    help = (
        "Count the whole event log and replace the statistics by the result; mail goes on being "
        "accepted and delivered meanwhile (on SQLite it waits). With --check, only compare."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Take whether to change anything."""
        parser.add_argument(
            "--check", action="store_true", help="change nothing; end with 1 if anything differs"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it, showing how far it is."""
        if options["check"]:
            self._check()
            return
        end = rollups.rebuild(watch=self._show)
        self.stdout.write(f"Everything is counted anew, up to event {end:,}.")

    def _check(self) -> None:
        differences = rollups.check(watch=self._show)
        for one in differences[:SHOWN]:
            self.stderr.write(
                f"{one.table} {' '.join(map(str, one.place))!r}: stored {one.stored}, "
                f"but the log says {one.recounted}"
            )
        if differences:
            raise CommandError(
                f"{len(differences):,} rows differ from the event log. "
                "`manage.py rebuild_stats` counts everything anew."
            )
        self.stdout.write("The statistics agree with the event log.")

    def _show(self, done: int, total: int) -> None:
        """Draw the bar over itself on a terminal; in a log it would be one long line."""
        if total and self.stderr.isatty():
            bar = ("#" * (done * BAR // total)).ljust(BAR, ".")
            self.stderr.write(f"\r[{bar}] {done * 100 // total} % ", ending="")
            if done == total:
                self.stderr.write("")
            self.stderr.flush()
