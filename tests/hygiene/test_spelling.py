"""One slip in a well-known domain is noticed; a domain that merely looks like one is not."""

from __future__ import annotations

import pytest

from hygiene.role_accounts import is_role_account
from hygiene.spelling import is_one_slip, meant_domain


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("gmial.com", "gmail.com"),
        ("gmai.com", "gmail.com"),
        ("gmaill.com", "gmail.com"),
        ("gnail.com", "gmail.com"),
        ("gmail.con", "gmail.com"),
        ("gmail.co", "gmail.com"),
        ("gmial.cmo", "gmail.com"),
        ("hotmial.com", "hotmail.com"),
        ("hotmial.co.uk", "hotmail.co.uk"),
        ("yaho.com", "yahoo.com"),
        ("outlok.com", "outlook.com"),
        ("icloud.con", "icloud.com"),
        ("gmail.com", ""),
        ("ymail.com", ""),
        ("mail.com", ""),
        ("email.com", ""),
        ("hotmail.be", ""),
        ("yahoo.com.ar", ""),
        ("recipient.example", ""),
        ("gail.org", ""),
    ],
)
def test_the_meant_domain_is_found(typed: str, meant: str) -> None:
    assert meant_domain(typed) == meant


@pytest.mark.parametrize(
    ("typed", "expected"),
    [("abcd", False), ("abc", True), ("abcde", True), ("abdc", True), ("axcd", True),
     ("bacd", True), ("badc", False), ("dbca", False), ("abcdef", False), ("", False)],
)  # fmt: skip
def test_one_slip_is_one_letter(typed: str, expected: bool) -> None:
    assert is_one_slip(typed, "abcd") is expected


@pytest.mark.parametrize(
    ("local", "expected"),
    [("info", True), ("Support", True), ("no-reply", True), ("sales+eu", True), ("ann", False),
     ("information.desk", False), ("infos", False)],
)  # fmt: skip
def test_role_accounts_are_known(local: str, expected: bool) -> None:
    assert is_role_account(local) is expected
