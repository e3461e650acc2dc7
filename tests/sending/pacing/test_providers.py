"""Domains are grouped by who receives their mail, without delivery ever waiting for the DNS."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from sending.delivery import exchanges
from sending.models import RecipientDomain
from sending.pacing import providers
from sending.pacing.providers import Providers, provider_of_exchangers
from tests.dns_server import NameServer

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 24, 14, 3, 10, tzinfo=UTC)


@pytest.fixture
def name_server() -> Iterator[NameServer]:
    server = NameServer()
    server.start()
    yield server
    server.stop()


@pytest.mark.parametrize(
    ("names", "provider"),
    [
        (["aspmx.l.google.com."], "gmail"),
        (["ALT1.gmail-smtp-in.l.GOOGLE.com"], "gmail"),
        (["company-example.mail.protection.outlook.com."], "microsoft"),
        (["company-example.b-v1.mx.microsoft."], "microsoft"),
        (["mta5.am0.yahoodns.net."], "yahoo"),
        (["notgoogle.com."], ""),
        (["mail.company.example."], ""),
        ([], ""),
    ],
)
def test_exchanger_tells_the_provider(names: list[str], provider: str) -> None:
    assert provider_of_exchangers(names) == provider


def test_well_known_domains_need_no_look_up(django_assert_num_queries) -> None:
    own = Providers()
    with django_assert_num_queries(0):
        own.prepare(["gmail.com", "hotmail.com", "aol.com"], now=NOW)
    names = [own.of(domain) for domain in ("googlemail.com", "hotmail.com", "aol.com")]
    assert names == ["gmail", "microsoft", "yahoo"]
    assert not own.take_wanted()


def test_unknown_domain_is_wanted_once_and_stands_for_itself_meanwhile() -> None:
    own = Providers()
    for _ in range(2):
        own.prepare(["company.example"], now=NOW)
    assert own.of("company.example") == "company.example"
    assert own.take_wanted() == {"company.example"}
    assert own.take_wanted() == set()


def test_old_answer_is_used_and_asked_for_again() -> None:
    RecipientDomain.objects.create(domain="a.example", provider="gmail", looked_up_at=NOW)
    for later, wanted in ((timedelta(days=6), set()), (timedelta(days=8), {"a.example"})):
        own = Providers()
        own.prepare(["a.example"], now=NOW + later)
        assert own.of("a.example") == "gmail"
        assert own.take_wanted() == wanted


def test_look_up_stores_what_the_dns_says_and_nothing_where_it_is_silent(
    name_server: NameServer,
) -> None:
    name_server.publish("a.example", "MX", "20 mx.backup.example.", "10 aspmx.l.google.com.")
    name_server.publish("b.example", "MX", "10 mail.b.example.")
    name_server.broken.add("broken.example")
    domains = ["a.example", "b.example", "none.example", "broken.example"]
    exchanges.look_up(domains, resolver=name_server.resolver())
    found = dict(RecipientDomain.objects.values_list("domain", "provider"))
    assert found == {"a.example": "gmail", "b.example": "", "none.example": ""}


@pytest.mark.django_db(transaction=True)
def test_look_up_goes_on_beside_and_is_known_at_once(
    name_server: NameServer, settings, monkeypatch
) -> None:
    settings.MX_LOOKUPS = True
    name_server.publish("a.example", "MX", "10 aspmx.l.google.com.")
    monkeypatch.setattr(exchanges, "system_resolver", name_server.resolver)
    known = providers.known
    known.prepare(["a.example"], now=NOW)
    thread = exchanges.look_up_soon()
    assert thread is not None
    thread.join()
    assert known.of("a.example") == "gmail"
    assert exchanges.look_up_soon() is None
    assert RecipientDomain.objects.get().provider == "gmail"


def test_other_worker_s_look_up_is_read_after_a_while(monkeypatch) -> None:
    own = Providers()
    own.prepare(["a.example"], now=NOW)
    RecipientDomain.objects.create(domain="a.example", provider="gmail", looked_up_at=NOW)
    own.prepare(["a.example"], now=NOW)
    assert own.of("a.example") == "a.example"
    monkeypatch.setattr(own, "_read_at", time.monotonic() - 61)
    own.prepare(["a.example"], now=NOW)
    assert own.of("a.example") == "gmail"
