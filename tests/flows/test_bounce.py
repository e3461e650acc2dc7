"""A bounce the whole way: a real Postfix takes a mail, and later sends it back to us."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.db import connection

from sending.commands import accept_message
from sending.delivery import deliver_due
from sending.errors import SuppressedRecipient
from sending.models import Event, Message, SendingProfile, Status, Suppression
from tests.factories.sending import RouteFactory, SenderDomainFactory, SendingProfileFactory
from tests.processes import program, stop, wait_until
from tests.rig.jail import can_run
from tests.rig.mail_servers import MailServer, postfix
from tests.sending.transports.certificate import make_certificate

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.integration]

SETTINGS = """
virtual_mailbox_domains = example.org
relay_domains = bounce.example.com
virtual_mailbox_maps = inline:{{
    {{ann@example.org = box/}}, {{gone@example.org = box/}}, {{lost@example.org = box/}}}}
transport_maps = inline:{{
    {{gone@example.org = dead:}}, {{lost@example.org = lost:}},
    {{bounce.example.com = {protocol}:[127.0.0.1]:{port}}}}}
"""


def database_url() -> str:
    database = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{database['NAME']}"
    return f"postgres://postgres@/{database['NAME']}?host={database['OPTIONS']['host']}"


@pytest.fixture(params=["smtp", "lmtp"])
def protocol(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def receiver_port(protocol: str, tmp_path: Path) -> Iterator[int]:
    """Run the command that an operator runs."""
    log = tmp_path / "receive_reports.log"
    environment = {
        name: os.environ[name]
        for name in ("SECRET_KEY", "API_KEY_HASH_KEY", "ENCRYPTION_KEYS", "SIGNING_KEYS")
    } | {"DATA_DIR": str(tmp_path), "DATABASE_URL": database_url()}
    options = ["--lmtp"] if protocol == "lmtp" else []
    command = ["manage.py", "receive_reports", "--port", "0", *options]
    with program(*command, log=log, **environment) as running:
        found: Callable[[], re.Match[str] | None] = lambda: re.search(  # noqa: E731
            r"on 127\.0\.0\.1:(\d+)", log.read_text()
        )
        wait_until(found)
        yield int(found()[1])
        assert stop(running, signal.SIGTERM) == 0


@pytest.fixture
def server(
    protocol: str, receiver_port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MailServer]:
    if not can_run("postfix"):
        pytest.skip("Postfix is not unpacked here, or we are not root; see tests/rig/ensure.sh")
    pem = make_certificate(tmp_path_factory.mktemp("certificate")).pem
    lines = SETTINGS.format(protocol=protocol, port=receiver_port)
    with postfix(pem=pem, settings=lines) as running:
        yield running


@pytest.fixture
def profile(server: MailServer) -> SendingProfile:
    SenderDomainFactory.create(domain="sender.example", return_path_domain="bounce.example.com")
    return SendingProfileFactory.create(route=RouteFactory.create(port=server.port))


def send(profile: SendingProfile, recipient: str) -> Message:
    message = accept_message(key=profile.api_key, recipient=recipient, attribs={})
    deliver_due()
    assert Message.objects.get(pk=message.pk).status in (Status.SENT, Status.BOUNCED)
    return message


def test_a_mail_that_comes_back_ends_its_address(profile: SendingProfile) -> None:
    message = send(profile, "gone@example.org")

    wait_until(lambda: Message.objects.get(pk=message.pk).status == Status.BOUNCED)

    kinds = list(
        Event.objects.filter(message=message).order_by("id").values_list("kind", flat=True)
    )
    assert kinds == ["queued", "sending", "sent", "bounced"]
    assert "5.1.1" in Message.objects.get(pk=message.pk).reason
    order = Suppression.objects.get()
    assert (order.address, order.reason) == ("gone@example.org", "bounced")
    assert order.source_message_id == message.pk
    with pytest.raises(SuppressedRecipient):
        accept_message(key=profile.api_key, recipient="gone@example.org", attribs={})


def test_a_mail_that_comes_back_for_another_reason_ends_no_address(
    profile: SendingProfile,
) -> None:
    message = send(profile, "lost@example.org")

    wait_until(lambda: Message.objects.get(pk=message.pk).status == Status.BOUNCED)

    assert not Suppression.objects.exists()
