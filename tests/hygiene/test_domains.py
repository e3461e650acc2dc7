"""A domain is judged by what a name server says for certain, and by nothing else."""

from __future__ import annotations

import pytest

from hygiene import domains
from hygiene.domains import Domains, Verdict, is_disposable, resolver_at
from hygiene.errors import CannotClean
from tests.dns_server import NameServer


@pytest.mark.parametrize(
    ("domain", "verdict"),
    [
        ("good.example", Verdict.TAKES_MAIL),
        ("old.example", Verdict.TAKES_MAIL),
        ("null.example", Verdict.NULL_MX),
        ("gone.example", Verdict.NO_DOMAIN),
        ("web.example", Verdict.NO_HOST),
        ("broken.example", Verdict.UNKNOWN),
        ("silent.example", Verdict.UNKNOWN),
        ("gmail.com", Verdict.TAKES_MAIL),
        ("simulator.example", Verdict.TAKES_MAIL),
    ],
)
def test_a_domain_takes_mail_unless_the_dns_says_no(
    name_server: NameServer, domain: str, verdict: Verdict
) -> None:
    assert Domains().verdicts([domain]) == {domain: verdict}


def test_a_null_mx_beside_another_is_no_null_mx(name_server: NameServer) -> None:
    name_server.publish("odd.example", "MX", "0 .", "10 mx.odd.example.")
    assert Domains().verdicts(["odd.example"])["odd.example"] is Verdict.TAKES_MAIL


def test_a_domain_is_asked_about_once(name_server: NameServer) -> None:
    asking = Domains()
    for _ in range(3):
        asking.verdicts(["good.example", "gone.example", "broken.example"])
    assert name_server.asked["good.example"] == 1
    assert name_server.asked["gone.example"] == 1
    assert asking.unanswered == 1


def test_answers_are_forgotten_before_they_fill_the_memory(
    name_server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(domains, "REMEMBERED", 2)
    asking = Domains()
    found = asking.verdicts([f"gone{number}.example" for number in range(5)])
    assert len(found) == 5
    assert len(asking._known) == 2


def test_when_nobody_answers_nobody_is_asked_for_ever(
    name_server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(domains, "PATIENCE", 3)
    monkeypatch.setattr(domains, "AT_ONCE", 1)
    names = [f"away{number}.example" for number in range(20)]
    name_server.broken.update(names)
    asking = Domains()
    assert set(asking.verdicts(names).values()) == {Verdict.UNKNOWN}
    assert asking.has_given_up
    assert name_server.asked[names[0]] > 0
    assert name_server.asked[names[-1]] == 0


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        ("mailinator.com", True),
        ("sub.mailinator.com", True),
        ("gmail.com", False),
        ("good.example", False),
    ],
)
def test_disposable_domains_and_what_is_below_them_are_known(domain: str, expected: bool) -> None:
    assert is_disposable(domain) is expected


@pytest.mark.parametrize("place", ["ns.example", "127.0.0.1:x", "", "1.2.3.4:5:6"])
def test_name_server_that_is_no_address_is_refused(place: str) -> None:
    with pytest.raises(CannotClean, match="give an address"):
        resolver_at(place)


def test_name_server_is_an_address_with_or_without_a_port() -> None:
    assert resolver_at("192.0.2.53").port == 53
    assert resolver_at("[2001:db8::1]:5353").port == 5353
    assert resolver_at("2001:db8::1").nameservers == ["2001:db8::1"]
