"""The house stays as it was drawn: small files, plain names, one direction, told errors."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
APPS = ["apikeys", "sending", "tracking", "unsubscribe", "stats", "hygiene", "billionmail"]
MAX_LINES = 400
NAMELESS = {"utils", "helpers", "misc", "common", "services", "managers"}
SOURCES = sorted(
    path for app in APPS for path in (ROOT / app).rglob("*.py") if "migrations" not in path.parts
)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_fits_a_reader_and_has_a_name_that_says_something(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_LINES
    assert not {part.removesuffix(".py") for part in path.parts} & NAMELESS


def test_the_import_contracts_hold() -> None:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize("name", ["apikeys.errors", "sending.errors"])
def test_every_error_for_a_caller_has_its_code_and_status(name: str) -> None:
    module = importlib.import_module(name)
    base = {"apikeys.errors": "ApiKeyError", "sending.errors": "SendingError"}[name]
    root: Any = getattr(module, base)
    errors: list[Any] = [error for _, error in inspect.getmembers(module, inspect.isclass)]
    for error in errors:
        if issubclass(error, root):
            assert 1001 <= error.code <= 1006, error
            assert 400 <= error.http_status <= 503, error


def test_only_their_writers_touch_the_ledger_and_the_suppressions() -> None:
    # The ledger cannot write a past that was made up, to try the dashboard.
    made_up = "billionmail/demo/"
    writers = {
        "Attempt": ("sending/ledger/", made_up),
        "Event": ("sending/ledger/", made_up),
        "Suppression": ("sending/suppressions.py", made_up),
    }
    for path in SOURCES:
        text = path.read_text()
        place = str(path.relative_to(ROOT))
        for model, homes in writers.items():
            for verb in ("create(", "bulk_create(", "get_or_create(", "update_or_create("):
                if f"{model}.objects.{verb}" in text:
                    assert place.startswith(homes), f"{place} writes {model}"
