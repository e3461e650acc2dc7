"""A configuration that is unsafe or cannot work is found before it is used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from billionmail import checks
from sending.checks import check_message_steps, check_times
from sending.steps import message_steps
from tests.processes import program


def ids(found: list[Any]) -> list[str]:
    return [one.id for one in found]


def test_a_complete_configuration_has_no_findings(settings: Any) -> None:
    settings.PUBLIC_URL = "https://mail.example.com"
    settings.REDIS_URL = "redis://localhost"
    assert checks.check_secrets() == []
    assert checks.check_public_url() == []
    assert checks.check_memory_broker() == []
    assert check_message_steps() == []
    assert check_times() == []


@pytest.mark.parametrize(
    ("name", "value", "number"),
    [
        ("SECRET_KEY", "short", "billionmail.E001"),
        ("ENCRYPTION_KEYS", [], "billionmail.E002"),
        ("SIGNING_KEYS", ["x" * 40, ""], "billionmail.E003"),
    ],
)
def test_a_missing_or_short_secret_is_an_error(
    settings: Any, name: str, value: Any, number: str
) -> None:
    setattr(settings, name, value)
    assert ids(checks.check_secrets()) == [number]


def manage(*arguments: str, directory: Path, **environment: str) -> tuple[int, str]:
    log = directory / "log"
    environment = {"DATA_DIR": str(directory / "var"), "LOG_LEVEL": "WARNING"} | environment
    with program("manage.py", *arguments, log=log, **environment) as running:
        return running.wait(timeout=60), log.read_text()


@pytest.mark.integration
def test_check_names_every_secret_that_is_missing(tmp_path: Path) -> None:
    code, output = manage("check", "--deploy", directory=tmp_path)
    assert code == 1
    for number in ("E001", "E002", "E003"):
        assert f"billionmail.{number}" in output
    assert "Traceback" not in output


@pytest.mark.integration
@pytest.mark.parametrize(
    ("arguments", "environment", "tells"),
    [
        (["showmigrations"], {"SECRET_KEY": ""}, "SECRET_KEY"),
        (["check"], {"QUEUE_LIFETIME_HOURS": "abc"}, "QUEUE_LIFETIME_HOURS cannot be read"),
        (["check"], {"DATABASE_URL": "secret"}, "DATABASE_URL is not an address"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_without_a_traceback(
    tmp_path: Path, arguments: list[str], environment: dict[str, str], tells: str
) -> None:
    code, output = manage(*arguments, directory=tmp_path, **environment)
    assert code == 1
    assert "Traceback" not in output
    assert tells in output


@pytest.mark.parametrize("url", ["", "mail.example.com", "ftp://x", "https://"])
def test_a_public_url_that_is_none_is_an_error(settings: Any, url: str) -> None:
    settings.PUBLIC_URL = url
    assert ids(checks.check_public_url()) == ["billionmail.E004"]


def test_plain_http_is_a_warning_except_on_this_machine(settings: Any) -> None:
    settings.PUBLIC_URL = "http://mail.example.com"
    assert ids(checks.check_public_url()) == ["billionmail.W005"]
    settings.PUBLIC_URL = "http://127.0.0.1:8000"
    assert checks.check_public_url() == []


@pytest.mark.parametrize("step", ["no.such.step", "unsubscribe.tokens.make"])
def test_a_message_step_that_is_none_is_an_error(settings: Any, step: str) -> None:
    settings.MESSAGE_STEPS = [step]
    message_steps.cache_clear()
    try:
        assert ids(check_message_steps()) == ["sending.E001"]
    finally:
        message_steps.cache_clear()


@pytest.mark.parametrize("name", ["LEASE_SECONDS", "PACING_ASSUMED_WORKERS"])
def test_a_lease_of_nothing_or_no_worker_is_an_error(settings: Any, name: str) -> None:
    setattr(settings, name, 0)
    assert ids(check_times()) == ["sending.E002"]


def test_postgresql_without_redis_is_a_warning(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(settings.DATABASES["default"], "ENGINE", "django.db.backends.postgresql")
    assert ids(checks.check_memory_broker()) == ["billionmail.W006"]
