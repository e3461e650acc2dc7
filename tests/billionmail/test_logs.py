"""A log line names nobody, whatever a server said."""

from __future__ import annotations

import logging
import sys
from typing import Any

import pytest
from django.conf import settings
from django.utils.module_loading import import_string

from billionmail.logs import WithoutAddresses

NAME = "0193c8d2-1d2b-7c3e-8f10-a1b2c3d4e5f6.0a1b2c3d4e5f"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("450 4.7.1 <ann.b+x@recipient.example>: slow", "450 4.7.1 <***@recipient.example>: slow"),
        ("to=ann@a.example,bob@b.example", "***@a.example,***@b.example"),
        ("jürgen@bücher.example is full", "***@bücher.example is full"),
        (f"Message-ID <{NAME}@sender.example>", f"Message-ID <{NAME}@sender.example>"),
        ("worker celery@host is ready, 3 @ 4", "worker celery@host is ready, 3 @ 4"),
    ],
)
def test_local_parts_are_hidden(text: str, line: str) -> None:
    record = logging.LogRecord("x", logging.INFO, "", 1, "%s", (text,), None)
    assert WithoutAddresses().format(record) == line


def test_a_traceback_names_nobody_either() -> None:
    try:
        int("ann@recipient.example")
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "", 1, "failed", (), sys.exc_info())
    line = WithoutAddresses().format(record)
    assert "***@recipient.example" in line.splitlines()[-1]


def test_all_log_lines_are_written_so() -> None:
    formatters: Any = settings.LOGGING["formatters"]
    assert [import_string(one["()"]) for one in formatters.values()] == [WithoutAddresses]
