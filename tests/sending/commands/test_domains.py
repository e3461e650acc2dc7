"""A sender domain has a key of its own, and says what is wrong with its DNS."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import dns.resolver
import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from guard.tasks import DnsStep
from sending.commands import check_domain, check_due_domains, create_domain, rotate_dkim_key
from sending.commands.domains import is_dkim_published, needed_records
from sending.dkim import dns_record, load_private_key
from sending.dns_records import State
from sending.models import SenderDomain
from tests.dns_server import NameServer

pytestmark = pytest.mark.django_db


@pytest.fixture
def name_server() -> Iterator[NameServer]:
    running = NameServer()
    running.start()
    yield running
    running.stop()


@pytest.fixture
def domain(settings) -> SenderDomain:
    settings.PUBLIC_URL = "https://mail.shop.example"
    return create_domain(
        domain="shop.example",
        return_path_domain="bounce.shop.example",
        tracking_domain="links.shop.example",
    )


def states(domain: SenderDomain, name_server: NameServer) -> dict[str, str]:
    found = check_domain(domain=domain, now=timezone.now(), resolver=name_server.resolver())
    return {finding.purpose: finding.state for finding in found}


def publish_all(domain: SenderDomain, name_server: NameServer) -> None:
    for record in needed_records(domain):
        name_server.publish(record.name, record.type, record.value)


def test_new_domain_has_a_key_that_fits_its_record_and_does_not_sign_yet(
    domain: SenderDomain,
) -> None:
    stored = SenderDomain.objects.get()
    assert dns_record(load_private_key(stored.dkim_private_key).public_key()) == (
        stored.dkim_dns_value
    )
    assert not stored.is_dkim_active
    assert "PRIVATE KEY" not in stored.dkim_dns_value


def test_domain_is_stored_as_it_stands_in_addresses() -> None:
    assert create_domain(domain=" Bücher.Example. ").domain == "xn--bcher-kva.example"


@pytest.mark.parametrize("wrong", ["localhost", "a b.example", "<shop.example>", ""])
def test_what_is_no_domain_is_refused_at_its_field(wrong: str) -> None:
    with pytest.raises(ValidationError) as refused:
        create_domain(domain=wrong)
    assert list(refused.value.message_dict) == ["domain"]
    assert not SenderDomain.objects.exists()


def test_records_name_the_host_the_selector_and_the_return_path(domain: SenderDomain) -> None:
    records = {record.purpose: record for record in needed_records(domain)}
    assert (records["SPF"].name, records["SPF"].value) == (
        "shop.example",
        "v=spf1 a:mail.shop.example ~all",
    )
    assert records["DKIM"].name == "bm1._domainkey.shop.example"
    assert records["DMARC"].name == "_dmarc.shop.example"
    assert records["Return-path MX"].value == "10 mail.shop.example."
    assert records["Return-path SPF"].name == "bounce.shop.example"
    tracking = records["Tracking domain"]
    assert (tracking.name, tracking.type) == ("links.shop.example", "CNAME")
    assert tracking.value == "mail.shop.example."


def test_records_of_a_domain_without_return_path_leave_it_out(settings) -> None:
    settings.PUBLIC_URL = "http://203.0.113.9:8000"
    records = {one.purpose: one for one in needed_records(create_domain(domain="shop.example"))}
    assert list(records) == ["SPF", "DKIM", "DMARC"]
    assert records["SPF"].value == "v=spf1 ip4:203.0.113.9 ~all"


def test_everything_published_is_everything_found(
    domain: SenderDomain, name_server: NameServer
) -> None:
    publish_all(domain, name_server)
    assert set(states(domain, name_server).values()) == {State.FOUND}
    domain.refresh_from_db()
    assert is_dkim_published(domain)
    assert domain.checked_at is not None


def test_nothing_published_is_missing_not_failed(
    domain: SenderDomain, name_server: NameServer
) -> None:
    name_server.publish("shop.example", "MX", "10 elsewhere.example.")
    assert set(states(domain, name_server).values()) == {State.MISSING}
    assert not is_dkim_published(domain)


def test_each_fault_is_named_and_what_is_there_is_shown(
    domain: SenderDomain, name_server: NameServer
) -> None:
    other_key = create_domain(domain="other.example").dkim_dns_value
    name_server.publish("shop.example", "TXT", "v=spf1 -all", "google-verification=1")
    name_server.publish("bm1._domainkey.shop.example", "TXT", other_key)
    name_server.publish("_dmarc.shop.example", "TXT", "v=DMARC1; p=none", "v=DMARC1; p=reject")
    name_server.publish("bounce.shop.example", "MX", "10 elsewhere.example.")
    name_server.broken.add("bounce.shop.example")
    name_server.publish("links.shop.example", "CNAME", "elsewhere.example.")
    assert states(domain, name_server) == {
        "SPF": State.DIFFERENT,
        "DKIM": State.DIFFERENT,
        "DMARC": State.SEVERAL,
        "Return-path MX": State.FAILED,
        "Return-path SPF": State.FAILED,
        "Tracking domain": State.DIFFERENT,
    }
    domain.refresh_from_db()
    stored = {finding["purpose"]: finding for finding in domain.findings}
    assert stored["SPF"]["seen"] == ["v=spf1 -all"]
    assert stored["DKIM"]["seen"] == [other_key]


def test_two_spf_records_are_a_fault_of_their_own(
    domain: SenderDomain, name_server: NameServer
) -> None:
    name_server.publish(
        "shop.example", "TXT", "v=spf1 a:mail.shop.example ~all", "v=spf1 include:x.example ~all"
    )
    assert states(domain, name_server)["SPF"] == State.SEVERAL


def test_spf_that_names_this_server_among_others_will_do(
    domain: SenderDomain, name_server: NameServer
) -> None:
    name_server.publish("shop.example", "TXT", "V=SPF1 mx +a:MAIL.shop.example -all")
    assert states(domain, name_server)["SPF"] == State.FOUND


def test_server_that_does_not_answer_makes_a_finding_not_an_error(domain: SenderDomain) -> None:
    deaf = dns.resolver.Resolver(configure=False)
    deaf.nameservers, deaf.port = ["127.0.0.1"], 9
    deaf.lifetime = deaf.timeout = 0.1
    found = check_domain(domain=domain, now=timezone.now(), resolver=deaf)
    assert {finding.state for finding in found} == {State.FAILED}


def test_new_key_has_a_new_selector_and_stops_signing_until_it_is_published(
    domain: SenderDomain, name_server: NameServer
) -> None:
    publish_all(domain, name_server)
    states(domain, name_server)
    SenderDomain.objects.update(is_dkim_active=True)
    renewed = rotate_dkim_key(domain=domain)
    assert renewed.dkim_selector == "bm2"
    assert renewed.dkim_dns_value != domain.dkim_dns_value
    assert not renewed.is_dkim_active
    assert not is_dkim_published(renewed)
    assert rotate_dkim_key(domain=renewed).dkim_selector == "bm3"


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "10.1.2.3", "100.64.1.1", "[::1]", "[fd00::1]", "localhost", "web", "a.internal"],
)
def test_host_that_nobody_outside_can_reach_stands_in_no_record(
    domain: SenderDomain, settings, host: str
) -> None:
    settings.EHLO_NAME, settings.PUBLIC_URL = host, f"http://{host}:8000"
    records = {record.purpose: record for record in needed_records(domain)}
    lacking = {purpose for purpose, record in records.items() if not record.is_whole}
    assert lacking == {"SPF", "Return-path SPF", "Return-path MX", "Tracking domain"}
    assert not any(host.strip("[]") in record.value for record in records.values())
    assert "<the public name or address of this server>" in records["SPF"].value


def test_public_name_is_taken_from_the_setting_that_has_one(domain: SenderDomain, settings) -> None:
    settings.EHLO_NAME = "localhost"
    assert needed_records(domain)[0].value == "v=spf1 a:mail.shop.example ~all"
    settings.EHLO_NAME = "[IPv6:2001:db8::5]"
    assert needed_records(domain)[0].value == "v=spf1 ip6:2001:db8::5 ~all"


def test_mx_record_never_holds_an_address(domain: SenderDomain, settings) -> None:
    settings.PUBLIC_URL = "http://203.0.113.9:8000"
    records = {record.purpose: record for record in needed_records(domain)}
    assert records["SPF"].is_whole
    assert records["Return-path MX"].value == "10 <the public name of this server>"


def test_what_cannot_be_compared_is_neither_found_nor_wrong(
    domain: SenderDomain, name_server: NameServer, settings
) -> None:
    settings.PUBLIC_URL = "http://127.0.0.1:8000"
    name_server.publish("shop.example", "TXT", "v=spf1 a:mail.shop.example ~all")
    found = states(domain, name_server)
    assert (found["SPF"], found["Return-path SPF"]) == (State.UNKNOWN, State.MISSING)


@pytest.fixture
def usual(name_server: NameServer, settings, monkeypatch: pytest.MonkeyPatch) -> NameServer:
    """Let workers ask a name server of the test; return it."""
    settings.MX_LOOKUPS = True
    monkeypatch.setattr("sending.dns_records.system_resolver", name_server.resolver)
    return name_server


def looked_at(domain: SenderDomain, *, ago: timedelta) -> None:
    SenderDomain.objects.filter(pk=domain.pk).update(checked_at=timezone.now() - ago)


def test_record_that_vanishes_is_noticed_within_a_day(usual: NameServer) -> None:
    domain = create_domain(domain="shop.example.com")
    publish_all(domain, usual)
    DnsStep(None).work()
    domain.refresh_from_db()
    assert is_dkim_published(domain)
    usual.records.clear()
    looked_at(domain, ago=timedelta(hours=23))
    assert check_due_domains() == 0
    looked_at(domain, ago=timedelta(hours=25))
    assert check_due_domains() == 1
    domain.refresh_from_db()
    assert not is_dkim_published(domain)
    assert domain.checked_at > timezone.now() - timedelta(minutes=5)


def test_only_domains_that_mail_can_come_from_are_checked_by_themselves(
    usual: NameServer, settings
) -> None:
    create_domain(domain="shop.example")  # nobody can own it
    retired = create_domain(domain="retired.example.com")
    SenderDomain.objects.filter(pk=retired.pk).update(is_active=False)
    assert check_due_domains() == 0
    create_domain(domain="shop.example.com")
    settings.MX_LOOKUPS = False
    assert check_due_domains() == 0
    settings.MX_LOOKUPS = True
    assert check_due_domains(should_stop=lambda: True) == 0
    assert check_due_domains() == 1
    assert "shop.example.com" in usual.asked


def test_failed_look_up_is_tried_again_within_the_hour(usual: NameServer) -> None:
    domain = create_domain(domain="shop.example.com")
    usual.broken.add("shop.example.com")
    assert check_due_domains() == 1
    looked_at(domain, ago=timedelta(minutes=59))
    assert check_due_domains() == 0
    looked_at(domain, ago=timedelta(minutes=61))
    assert check_due_domains() == 1


def test_workers_share_the_domains(usual: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("first", "second"):
        create_domain(domain=f"{name}.example.com")
    by_another = []

    def check_while_another_does(**told) -> None:
        by_another.append(told["domain"].domain)
        if len(by_another) == 1:
            assert check_due_domains() == 1

    monkeypatch.setattr("sending.commands.domains.check_domain", check_while_another_does)
    assert check_due_domains() == 1
    assert sorted(by_another) == ["first.example.com", "second.example.com"]


def test_check_says_nothing_of_a_key_that_was_replaced_meanwhile(
    domain: SenderDomain, name_server: NameServer
) -> None:
    publish_all(domain, name_server)
    rotate_dkim_key(domain=domain)
    states(domain, name_server)
    assert SenderDomain.objects.get().findings == []
