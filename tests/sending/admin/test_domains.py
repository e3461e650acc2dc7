"""What an operator does with sender domains in the browser."""

from __future__ import annotations

from collections.abc import Iterator

import dns.resolver
import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client

from sending.commands import create_domain
from sending.commands.domains import needed_records
from sending.models import SenderDomain
from tests.dns_server import NameServer
from tests.factories.sending import SendingProfileFactory

pytestmark = pytest.mark.django_db

LIST = "/admin/sending/senderdomain/"


@pytest.fixture(autouse=True)
def public_name(settings) -> None:
    settings.PUBLIC_URL = "https://mail.shop.example"


@pytest.fixture
def name_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    """Let this machine's resolver ask a name server of the test."""
    running = NameServer()
    running.start()
    monkeypatch.setattr("sending.dns_records.system_resolver", running.resolver)
    yield running
    running.stop()


def page(domain: SenderDomain, name: str = "change") -> str:
    return f"{LIST}{domain.pk}/{name}/"


def test_new_domain_leads_to_its_records(admin_client: Client) -> None:
    response = admin_client.post(
        f"{LIST}add/",
        {
            "domain": "Shop.Example",
            "return_path_domain": "bounce.shop.example",
            "tracking_domain": "Links.Shop.Example",
        },
        follow=True,
    )
    domain = SenderDomain.objects.get()
    shown = response.content.decode()
    assert domain.domain == "shop.example"
    assert domain.tracking_domain == "links.shop.example"
    assert "CNAME" in shown
    assert "bm1._domainkey.shop.example" in shown
    assert domain.dkim_dns_value in shown.replace("&#x3D;", "=")
    assert "PRIVATE KEY" not in shown
    assert LogEntry.objects.get().object_id == str(domain.pk)


@pytest.mark.parametrize(
    ("given", "told"),
    [("shop", "has no dot"), ("a@shop.example", "@"), ("SHOP.example", "already")],
)
def test_wrong_domain_is_explained(admin_client: Client, given: str, told: str) -> None:
    create_domain(domain="shop.example")
    response = admin_client.post(f"{LIST}add/", {"domain": given, "return_path_domain": ""})
    errors = response.context["adminform"].form.errors
    assert told in errors["domain"][0]
    assert SenderDomain.objects.count() == 1


def test_check_stores_and_shows_what_is_published(
    admin_client: Client, name_server: NameServer
) -> None:
    domain = create_domain(domain="shop.example")
    name_server.publish("shop.example", "TXT", "v=spf1 include:relay.example -all")
    assert admin_client.get(page(domain, "check-dns")).status_code == 200
    domain.refresh_from_db()
    assert domain.checked_at is None

    shown = admin_client.post(page(domain, "check-dns"), follow=True).content.decode()
    assert "Not as needed: SPF, DKIM, DMARC." in shown
    assert "v=spf1 include:relay.example -all" in shown
    for record in needed_records(domain):
        name_server.publish(record.name, record.type, record.value)
    shown = admin_client.post(page(domain, "check-dns"), follow=True).content.decode()
    assert "Every record is published as needed." in shown


def test_signing_with_a_key_that_is_not_published_is_warned_of(
    admin_client: Client, name_server: NameServer
) -> None:
    domain = create_domain(domain="shop.example")
    asked = {"is_active": "on", "is_dkim_active": "on", "return_path_domain": ""}
    shown = admin_client.post(page(domain), asked, follow=True).content.decode()
    assert "the DKIM record was not found" in shown
    domain.refresh_from_db()
    assert domain.is_dkim_active


def test_new_key_is_made_after_a_question(admin_client: Client) -> None:
    domain = create_domain(domain="shop.example")
    assert admin_client.get(page(domain, "new-key")).status_code == 200
    domain.refresh_from_db()
    assert domain.dkim_selector == "bm1"
    admin_client.post(page(domain, "new-key"))
    domain.refresh_from_db()
    assert domain.dkim_selector == "bm2"
    assert "New DKIM key bm2." in LogEntry.objects.get().change_message


def test_who_may_only_look_changes_nothing() -> None:
    domain = create_domain(domain="shop.example")
    person = User.objects.create_user("viewer", is_staff=True)
    person.user_permissions.add(Permission.objects.get(codename="view_senderdomain"))
    client = Client()
    client.force_login(person)
    assert client.get(page(domain)).status_code == 200
    for name in ("check-dns", "new-key", "change"):
        assert client.post(page(domain, name)).status_code == 403
    domain.refresh_from_db()
    assert (domain.dkim_selector, domain.checked_at) == ("bm1", None)


def test_domain_that_limits_a_key_cannot_be_deleted(admin_client: Client) -> None:
    domain = create_domain(domain="shop.example")
    profile = SendingProfileFactory.create()
    profile.sender_domains.add(domain)
    admin_client.post(page(domain, "delete"), {"post": "yes"})
    chosen = {"action": "delete_selected", "_selected_action": [domain.pk], "post": "yes"}
    admin_client.post(LIST, chosen)
    assert SenderDomain.objects.exists()
    profile.sender_domains.clear()
    admin_client.post(page(domain, "delete"), {"post": "yes"})
    assert not SenderDomain.objects.exists()


def test_machine_without_name_servers_makes_findings_not_an_error(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unconfigured() -> dns.resolver.Resolver:
        raise dns.resolver.NoResolverConfiguration

    monkeypatch.setattr("sending.dns_records.system_resolver", unconfigured)
    domain = create_domain(domain="shop.example")
    admin_client.post(page(domain, "check-dns"))
    domain.refresh_from_db()
    assert {finding["state"] for finding in domain.findings} == {"lookup failed"}


def test_record_with_a_placeholder_is_explained_and_cannot_be_copied(
    admin_client: Client, settings
) -> None:
    settings.PUBLIC_URL = "http://127.0.0.1:8000"
    domain = create_domain(domain="shop.example")
    shown = admin_client.get(page(domain)).content.decode()
    assert "127.0.0.1" not in shown
    assert "v=spf1 &lt;the public name or address of this server&gt; ~all" in shown
    assert "neither EHLO_NAME nor PUBLIC_URL holds" in shown
    assert 'value="v=spf1' not in shown
    settings.EHLO_NAME = "mail.shop.example"
    assert (
        'value="v=spf1 a:mail.shop.example ~all"' in admin_client.get(page(domain)).content.decode()
    )
