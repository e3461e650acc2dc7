"""Let a person in with the password alone again, from the command line."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError

from guard import second_factor


class Command(BaseCommand):
    """Take a person's second factor away: when app and recovery codes are lost."""

    help = "Take a person's second factor away. They can set up another after they sign in."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare whom it is about."""
        parser.add_argument("username")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it; raise CommandError when there is nobody of that name, or nothing to take."""
        user = User.objects.filter(username=options["username"]).first()
        if user is None:
            raise CommandError(f"Nobody is called {options['username']!r}.")
        if not second_factor.remove(user):
            raise CommandError(f"{user} has no second factor.")
        self.stdout.write(f"{user} is asked for the password alone from now on.")
