"""Settings that would make keys unsafe are found at start."""

import pytest
from django.core.checks import run_checks


@pytest.mark.parametrize(
    ("setting", "value", "found"),
    [
        ("API_KEY_HASH_KEY", "", "apikeys.E001"),
        ("API_KEY_HASH_KEY", "x" * 31, "apikeys.E001"),
        ("TRUSTED_PROXY_COUNT", -1, "apikeys.E002"),
        ("FAILED_AUTH_PER_MINUTE", 0, "apikeys.E003"),
    ],
)
def test_unsafe_setting_is_an_error(settings, setting: str, value: object, found: str) -> None:
    setattr(settings, setting, value)

    assert found in {message.id for message in run_checks()}


def test_good_settings_pass(settings) -> None:
    settings.API_KEY_HASH_KEY = "x" * 32
    settings.TRUSTED_PROXY_COUNT = 0
    settings.FAILED_AUTH_PER_MINUTE = 1

    assert not [m for m in run_checks() if m.id and m.id.startswith("apikeys.")]
