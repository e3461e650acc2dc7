"""Find and stop what is wrong in a list: ``manage.py clean_list [--apply | --undo RUN] ...``."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentTypeError
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from hygiene import cleaning, commands, runs, wording
from hygiene.commands import Wishes
from hygiene.domains import Domains, resolver_at
from hygiene.errors import CannotClean, HoldLost
from hygiene.models import SAFE, Kind, Run
from hygiene.sources import read_addresses

BY = "clean_list"
BAR = 30
SAFE_NAMES = ",".join(kind.value for kind in SAFE)


class Command(BaseCommand):
    """Check a list and say what is wrong; suppress it only when asked to; take that back."""

    help = (
        "Look for addresses that mail should not go to, and report on them. Nothing else changes "
        "without --apply, which suppresses them with the reason invalid; --undo takes that back "
        "within 30 days. Look-ups without an answer never count against an address."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the list, what to look for, and what to do."""
        source = parser.add_mutually_exclusive_group()
        source.add_argument(
            "--stored", action="store_true", help="everybody who was ever written to (the default)"
        )
        source.add_argument("--csv", metavar="FILE", help="a CSV file in UTF-8; - for stdin")
        source.add_argument(
            "--batch",
            type=UUID,
            metavar="ID",
            help="the batch of this id, or that has the message of this id",
        )
        source.add_argument("--run", type=int, metavar="RUN", help="what an earlier run found")
        act = parser.add_mutually_exclusive_group()
        act.add_argument("--dry-run", action="store_true", help="only report (the default)")
        act.add_argument("--apply", action="store_true", help="suppress what was found")
        act.add_argument("--undo", type=int, metavar="RUN", help="take back what a run suppressed")
        parser.add_argument(
            "--findings",
            type=_kinds,
            metavar="KIND,...",
            help=f"what --apply suppresses, of {', '.join(Kind)}; default: {SAFE_NAMES}",
        )
        parser.add_argument("--column", default="", help="the column of the CSV file to take")
        parser.add_argument(
            "--never-engaged",
            type=int,
            default=180,
            metavar="DAYS",
            help="for how long nothing was opened or clicked; default: 180",
        )
        parser.add_argument(
            "--period",
            type=int,
            default=30,
            metavar="DAYS",
            help="the past whose rates are compared; default: 30",
        )
        parser.add_argument("--no-dns", action="store_true", help="look up no domains")
        parser.add_argument(
            "--dns-server",
            metavar="ADDRESS[:PORT]",
            help="ask this name server; default: CLEAN_LIST_DNS_SERVER, else those of the machine",
        )
        parser.add_argument(
            "--format",
            choices=["text", "json", "csv"],
            default="text",
            help="how the result is printed: for people, as one JSON object, or one row each",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Do what was asked for, showing how far it is."""
        try:
            run = self._run(options)
        except (CannotClean, HoldLost) as error:
            raise CommandError(str(error)) from None
        self._tell(run, options["format"])
        if run.state == Run.State.FAILED:
            raise CommandError(f"{run} failed: {run.trouble}")
        if options["apply"] and run.state == Run.State.CHECKED:
            raise CommandError(
                f"Nobody was suppressed. {run.trouble} Then: manage.py clean_list --run {run.pk} "
                "--apply"
            )

    def _run(self, options: dict[str, Any]) -> Run:
        now = timezone.now()
        if options["undo"] is not None:
            return self._finish(commands.undo(options["undo"], by=BY, now=now))
        kinds = SAFE if options["findings"] is None else options["findings"]
        if options["run"] is not None:
            if not options["apply"]:
                return commands.find(options["run"])
            return self._finish(commands.apply(options["run"], kinds=kinds, by=BY, now=now))
        server, domains = options["dns_server"], None
        if server and not options["no_dns"]:
            domains = Domains(resolver_at(server))
        return self._finish(self._begin(options, kinds), domains=domains)

    def _begin(self, options: dict[str, Any], kinds: tuple[Kind, ...]) -> Run:
        wishes = Wishes(
            looks_up_domains=not options["no_dns"],
            never_engaged_days=options["never_engaged"],
            period_days=options["period"],
            kinds=kinds,
            applies_at_once=options["apply"],
        )
        shared: dict[str, Any] = {"wishes": wishes, "by": BY, "now": timezone.now()}
        if options["batch"]:
            return commands.begin(Run.Source.BATCH, batch_message_id=options["batch"], **shared)
        path = options["csv"]
        if not path:
            return commands.begin(Run.Source.STORED, **shared)
        shared["source_name"] = "stdin" if path == "-" else path
        try:
            # The file is read as UTF-8 whatever the terminal speaks.
            with open(
                sys.stdin.fileno() if path == "-" else path,
                encoding="utf-8-sig",
                errors="replace",
                newline="",
                closefd=path != "-",
            ) as file:
                addresses = read_addresses(file, column=options["column"])
                return commands.begin(Run.Source.FILE, addresses=addresses, **shared)
        except OSError as error:
            raise CannotClean(f"{path} cannot be read: {error.strerror}.") from None

    def _finish(self, run: Run, *, domains: Domains | None = None) -> Run:
        try:
            cleaning.clean(run, domains=domains, watch=self._show)
        except KeyboardInterrupt:
            if run.state == Run.State.CHECKING:
                runs.stop(run)
                raise CannotClean(f"{run} was stopped; nothing was changed.") from None
            raise CannotClean(
                f"{run} was interrupted while {run.get_state_display().lower()}; a worker goes on "
                "with it."
            ) from None
        finally:
            self._show_end()
        return run

    def _tell(self, run: Run, form: str) -> None:
        if form == "json":
            self.stdout.write(json.dumps(wording.as_json(run), ensure_ascii=False, indent=2))
        elif form == "csv":
            for line in wording.csv_lines(run):
                self.stdout.write(line, ending="")
        else:
            for line in wording.text_lines(run):
                self.stdout.write(line)

    def _show(self, run: Run) -> None:
        """Draw the bar over itself on a terminal; in a log it would be one long line."""
        if self.stderr.isatty() and run.total:
            share = min(run.done / run.total, 1.0)
            bar = ("#" * int(share * BAR)).ljust(BAR, ".")
            text = f"\r[{bar}] {share:4.0%} of {run.total:,}, {run.get_state_display()} "
            self.stderr.write(text, str, ending="")
            self.stderr.flush()

    def _show_end(self) -> None:
        if self.stderr.isatty():
            self.stderr.write("")


def _kinds(text: str) -> tuple[Kind, ...]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    unknown = [word for word in words if word not in Kind.values]
    if unknown or not words:
        raise ArgumentTypeError(f"{text!r} is not some of: {', '.join(Kind.values)}.")
    return tuple(Kind(word) for word in words)
