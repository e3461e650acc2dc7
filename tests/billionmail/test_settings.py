"""Every variable that the code reads is explained in .env.example, and no other."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
READERS = ["billionmail/settings.py", "billionmail/gunicorn.py", "billionmail/embedded.py"]
# Set by the launcher for its own children, not by people.
INTERNAL = {"DJANGO_SETTINGS_MODULE"}


def test_the_example_explains_exactly_the_variables_that_are_read() -> None:
    code = "".join((ROOT / name).read_text() for name in READERS)
    read = set(
        re.findall(r'(?:env\.\w+|environ\.get|environ\.setdefault)\(\s*"([A-Z_0-9]+)"', code)
    )
    example = (ROOT / ".env.example").read_text()
    explained = set(re.findall(r"^#?([A-Z_0-9]+)=", example, re.MULTILINE))
    assert read - INTERNAL == explained


def test_no_secret_has_a_default() -> None:
    example = (ROOT / ".env.example").read_text()
    for name in ("SECRET_KEY", "API_KEY_HASH_KEY", "ENCRYPTION_KEYS", "SIGNING_KEYS"):
        assert re.search(rf"^{name}=$", example, re.MULTILINE), name
