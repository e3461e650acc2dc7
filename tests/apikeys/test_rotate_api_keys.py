"""The command line that rotates keys."""

import json
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from apikeys.authentication import identify
from apikeys.commands import create_key, revoke_key
from apikeys.errors import InvalidKey
from apikeys.models import ApiKey, ApiKeySecret
from tests.factories.apikeys import key_with_secret

pytestmark = pytest.mark.django_db


def test_one_key_gets_a_new_secret_and_the_old_one_its_grace(capsys) -> None:
    key, old = key_with_secret(name="Shop")

    call_command("rotate_api_keys", "--key", "Shop", "--grace-hours", "2")

    name, prefix, new = capsys.readouterr().out.rstrip("\n").split("\t")
    now = timezone.now()
    assert name == "Shop"
    assert new.startswith(prefix)
    assert identify(new, now=now) == identify(old, now=now) == key
    with pytest.raises(InvalidKey):
        identify(old, now=now + timedelta(hours=2))


@pytest.mark.parametrize("by", ["prefix", "id"])
def test_key_is_named_by_prefix_or_id(capsys, by: str) -> None:
    key, secret = key_with_secret()

    call_command("rotate_api_keys", "--key", secret[:13] if by == "prefix" else str(key.pk))

    assert key.secrets.count() == 2


def test_old_secrets_are_rotated_and_fresh_ones_left(capsys) -> None:
    now = timezone.now()
    create_key(name="Old", now=now - timedelta(days=91))
    create_key(name="Fresh", now=now - timedelta(days=89))
    revoked, _ = create_key(name="Revoked", now=now - timedelta(days=91))
    revoke_key(key=revoked, now=now)
    create_key(name="Expired", expires_at=now, now=now - timedelta(days=91))

    call_command("rotate_api_keys", "--older-than-days", "90", "--json")
    printed = capsys.readouterr()
    call_command("rotate_api_keys", "--older-than-days", "90", "--json")

    rotated = [json.loads(line) for line in printed.out.splitlines()]
    assert [row["name"] for row in rotated] == ["Old"]
    assert identify(rotated[0]["secret"], now=timezone.now()).name == "Old"
    assert "1 key(s) rotated" in printed.err
    assert capsys.readouterr().out == ""


def test_dry_run_changes_and_prints_nothing_but_names(capsys) -> None:
    key_with_secret(name="Shop")

    call_command("rotate_api_keys", "--key", "Shop", "--dry-run")

    printed = capsys.readouterr()
    assert ApiKeySecret.objects.count() == 1
    assert printed.out == ""
    assert 'Would rotate "Shop"' in printed.err


def test_ambiguous_name_is_refused_with_the_prefixes(capsys) -> None:
    secrets = [key_with_secret(name="Shop")[1] for _ in range(2)]

    with pytest.raises(CommandError, match="2 API keys are named") as refused:
        call_command("rotate_api_keys", "--key", "Shop")

    assert all(secret[:13] in str(refused.value) for secret in secrets)
    assert ApiKeySecret.objects.count() == 2


def test_name_used_again_after_a_revocation_means_the_living_key(capsys) -> None:
    revoked, _ = key_with_secret(name="Shop")
    revoke_key(key=revoked, now=timezone.now())
    living, _ = key_with_secret(name="Shop")

    call_command("rotate_api_keys", "--key", "Shop")

    assert living.secrets.count() == 2


def test_revoked_key_is_not_rotated() -> None:
    key, _ = key_with_secret(name="Shop")
    revoke_key(key=key, now=timezone.now())

    with pytest.raises(CommandError, match="is revoked"):
        call_command("rotate_api_keys", "--key", "Shop", "--dry-run")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ([], "required"),
        (["--key", "Nobody"], "No API key has"),
        (["--key", "Shop", "--older-than-days", "1"], "not allowed with"),
        (["--key", "Shop", "--grace-hours", "-1"], "between 0 and"),
        (["--older-than-days", "999999999999"], "between 0 and"),
    ],
)
def test_wrong_option_rotates_nothing_and_says_why(options: list[str], reason: str) -> None:
    key_with_secret(name="Shop")

    with pytest.raises(CommandError, match=reason):
        call_command("rotate_api_keys", *options)

    assert ApiKey.objects.get().secrets.count() == 1
