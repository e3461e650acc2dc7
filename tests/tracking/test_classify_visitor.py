"""`manage.py classify_visitor` says of each line who it was, and of a bad one what is bad."""

from __future__ import annotations

import io
import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

LINE = {
    "kind": "opened",
    "user_agent": "Mozilla/5.0",
    "ip": "203.0.113.7",
    "method": "GET",
    "seconds_after_handoff": 30,
}


def asked(*files: Path, stderr: StringIO | None = None) -> list[dict[str, Any]]:
    out = StringIO()
    try:
        call_command("classify_visitor", *map(str, files), stdout=out, stderr=stderr or StringIO())
    finally:
        answers = [json.loads(line) for line in out.getvalue().splitlines()]
    return answers


def give(monkeypatch: pytest.MonkeyPatch, octets: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(octets)))


def test_each_line_of_the_standard_input_gets_a_label_and_reasons(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = [LINE, LINE | {"kind": "click", "user_agent": "curl/8.0"}]
    give(monkeypatch, "\n".join(json.dumps(line) for line in lines).encode() + b"\n\n")
    first, second = asked()
    assert (first["label"], first["reasons"]) == ("proxy", ["apple_privacy"])
    assert (second["label"], second["reasons"]) == ("scanner", ["tool"])


def test_files_are_read_as_well(tmp_path: Path) -> None:
    paths = [tmp_path / "a", tmp_path / "b"]
    for path in paths:
        path.write_text(json.dumps(LINE))
    assert len(asked(*paths)) == 2


def test_what_is_missing_or_null_is_not_known(tmp_path: Path) -> None:
    path = tmp_path / "hits"
    path.write_text('{"kind": "opened"}\n{"kind": "opened", "ip": null, "user_agent": null}')
    assert [one["reasons"] for one in asked(path)] == [["bare"], ["bare"]]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b"nonsense", "not JSON"),
        (b"[1]", "not an object"),
        (b'{"user_agent": "x"}', '"kind" is null'),
        (b'{"kind": ["opened"]}', '"kind" is ["opened"]'),
        (b'{"kind": "opened", "user_agent": 5}', '"user_agent" must be a text'),
        (b'{"kind": "opened", "seconds_after_handoff": "3"}', "must be a number"),
        (b'{"kind": "opened", "seconds_after_handoff": true}', "must be a number"),
        (b'{"kind": "opened", "has_accept": 1}', "must be true or false"),
        (b"[" * 100_000, "not JSON"),
        (b"\xff\xfe", "not JSON"),
    ],
)
def test_a_bad_line_is_told_with_its_number_and_the_rest_goes_on(
    tmp_path: Path, line: bytes, complaint: str
) -> None:
    path, told, out = tmp_path / "hits", StringIO(), StringIO()
    good = json.dumps(LINE).encode()
    path.write_bytes(b"\n".join([good, line, good]))
    with pytest.raises(CommandError, match="1 of the lines"):
        call_command("classify_visitor", str(path), stdout=out, stderr=told)
    assert len(out.getvalue().splitlines()) == 2
    assert f"{path}, line 2: " in told.getvalue()
    assert complaint in told.getvalue()


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"gone cannot be read: No such file"):
        asked(tmp_path / "gone")
