"""Look whether recipients can reach the pixel and the tracked links."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from tracking.reach import addresses, problem_of


class Command(BaseCommand):
    """Fetch our own pixel under PUBLIC_URL and every tracking domain."""

    help = "Fetches our own pixel under PUBLIC_URL and every tracking domain, as recipients do."

    def handle(self, *args: Any, **options: Any) -> None:
        """Print a line for each address; end with an error when one does not work."""
        problems = []
        for url, whose in addresses().items():
            problem = problem_of(url)
            problems += [problem] if problem else []
            self.stdout.write(f"{'FAILS' if problem else 'works'}  {url}  ({whose})")
        if problems:
            raise CommandError("\n".join(problems))
