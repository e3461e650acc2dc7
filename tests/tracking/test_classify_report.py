"""The command tells one JSON line for each file, and goes on when one cannot be read."""

from __future__ import annotations

import io
import json
import sys
from types import SimpleNamespace

import pytest
from django.core.management import call_command

from tests.tracking.test_reading import CORPUS


def lines(text: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in text.splitlines()]


def test_each_file_gets_a_line_in_its_order(capsys) -> None:
    names = [str(CORPUS / f"{name}.eml") for name in ("postfix_mailbox_full", "arf_full")]
    call_command("classify_report", *names)

    bounce, complaint = lines(capsys.readouterr().out)
    assert bounce == {
        "file": names[0],
        "kind": "bounce",
        "class": "soft",
        "recipient": "bob@recipient.example",
        "enhanced_status": "5.2.2",
        "diagnostic": "552 5.2.2 <bob@recipient.example>: user is over quota",
        "action": "failed",
    }
    assert (complaint["kind"], complaint["recipient"]) == ("complaint", "mara@isp.example")


def test_a_success_is_no_kind_of_its_own_but_its_action_says_so(capsys) -> None:
    call_command("classify_report", str(CORPUS / "postfix_delivered.eml"))
    (told,) = lines(capsys.readouterr().out)
    assert (told["kind"], told["action"]) == ("unknown", "delivered")


def test_every_recipient_of_a_report_is_told(capsys) -> None:
    call_command("classify_report", str(CORPUS / "postfix_two_recipients.eml"))
    (told,) = lines(capsys.readouterr().out)
    assert told["recipient"] == "gone@recipient.example"
    assert [one["recipient"] for one in told["recipients"]] == [
        "gone@recipient.example",
        "ok@recipient.example",
    ]


def test_standard_input_is_read(capsys, monkeypatch) -> None:
    octets = (CORPUS / "vacation_sieve.eml").read_bytes()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(octets)))
    call_command("classify_report", "-")
    assert lines(capsys.readouterr().out)[0]["kind"] == "auto_reply"


def test_a_file_that_cannot_be_read_is_named_and_the_rest_goes_on(capsys, tmp_path) -> None:
    with pytest.raises(SystemExit) as ended:
        call_command("classify_report", str(tmp_path / "missing.eml"), str(CORPUS / "arf_full.eml"))
    assert ended.value.code == 1
    told = capsys.readouterr()
    assert "missing.eml cannot be read: No such file" in told.err
    assert lines(told.out)[0]["kind"] == "complaint"
