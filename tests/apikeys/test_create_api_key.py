"""The command line that creates a key."""

import json
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from apikeys.authentication import identify
from apikeys.models import ApiKey

pytestmark = pytest.mark.django_db


def test_stdout_is_the_secret_alone(capsys) -> None:
    call_command("create_api_key", "--name", "Shop")

    printed = capsys.readouterr()
    key = identify(printed.out.rstrip("\n"), now=timezone.now())
    assert (key.name, key.scopes, key.networks, key.expires_at) == ("Shop", ["send"], [], None)
    assert "Shop" in printed.err
    assert printed.out.strip() not in printed.err


def test_json_tells_all_about_the_key(capsys) -> None:
    call_command(
        *("create_api_key", "--name", "Shop", "--scope", "send", "--scope", "read", "--json"),
        *("--network", "10.0.0.1", "--network", "2001:db8::/32", "--expires-in-days", "30"),
    )

    created = json.loads(capsys.readouterr().out)
    key = ApiKey.objects.get()
    assert identify(created["secret"], now=timezone.now()) == key
    assert created["id"] == str(key.pk)
    assert created["secret"].startswith(created["prefix"])
    assert key.scopes == ["send", "read"]
    assert key.networks == ["10.0.0.1/32", "2001:db8::/32"]
    assert key.expires_at is not None
    assert timedelta(days=29) < key.expires_at - timezone.now() <= timedelta(days=30)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--network", "10.0.0.5/8"], "Write 10.0.0.0/8"),
        (["--network", "0.0.0.0/0"], "Leave the list empty"),
        (["--expires-in-days", "0"], "between 1 and"),
        (["--expires-in-days", "99999999999"], "between 1 and"),
        (["--scope", "admin"], "invalid choice"),
        (["--name", ""], "name: This field cannot be blank"),
        (["--scope", "send", "--scope", "send"], "twice"),
    ],
)
def test_wrong_option_creates_nothing_and_says_why(options: list[str], reason: str) -> None:
    with pytest.raises(CommandError, match=reason):
        call_command("create_api_key", "--name", "Shop", *options)

    assert not ApiKey.objects.exists()


def test_help_names_the_scopes(capsys) -> None:
    with pytest.raises(SystemExit):
        call_command("create_api_key", "--help")

    printed = capsys.readouterr().out
    assert "send, read, manage" in " ".join(printed.split())
