"""Deliver to the mail servers that people run: every message once, every refusal to its own."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sending.commands import accept_batch
from sending.delivery import deliver_due
from sending.models import Message, Route, Status
from tests.factories.sending import RouteFactory, SendingProfileFactory
from tests.rig.mail_servers import PASSWORD, USERNAME, MailServer
from tests.sending.transports.real_servers import EXIM, OPENSMTPD, POSTFIX, only, parse

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.integration]


def recipients(count: int, *, known: Callable[[int], bool]) -> list[str]:
    return [f"{'ann' if known(number) else 'no'}+{number}@example.org" for number in range(count)]


def accept(addresses: list[str], *, route: Route) -> None:
    accept_batch(key=SendingProfileFactory.create(route=route).api_key, recipients=addresses)


def message_ids(server: MailServer, count: int) -> list[str]:
    return sorted(parse(octets)["Message-ID"] for octets in server.arrived(count))


def sent() -> list[str]:
    return sorted(Message.objects.filter(status=Status.SENT).values_list("message_id", flat=True))


def test_every_message_arrives_once_and_every_refusal_finds_its_own(server) -> None:
    route = RouteFactory.create(port=server.port, connections=2)
    before = server.connections
    recipients = [
        f"{'no' if number % 7 == 3 else 'ann'}+{number}@example.org" for number in range(70)
    ]
    accept(recipients, route=route)

    assert deliver_due() == 70

    assert len(sent()) == 60
    assert message_ids(server, 60) == sent()
    bounced = Message.objects.filter(status__in=[Status.BOUNCED, Status.REJECTED])
    assert {message.recipient[:3] for message in bounced} == {"no+"}
    assert bounced.count() == 10
    assert server.connections - before <= 2


@only(POSTFIX, EXIM)
@pytest.mark.parametrize("tls", [Route.Tls.STARTTLS, Route.Tls.TLS])
def test_messages_of_all_sizes_arrive_once_over_tls(server, tls) -> None:
    route = RouteFactory.create(
        port=server.port if tls == Route.Tls.STARTTLS else server.tls_port,
        tls=tls,
        verify_certificate=False,
        connections=2,
    )
    if server.package == EXIM:
        route.username, route.password = USERNAME, PASSWORD
        route.save()
    profile = SendingProfileFactory.create(
        route=route, template__version__html="<p>{{.API.filling}}</p>\n" * 20
    )
    for number, size in enumerate([1, 4000, 10, 400, 1500] * 6):
        accept_batch(
            key=profile.api_key,
            recipients=[f"ann+{number}@example.org"],
            attribs={"filling": "x" * size},
        )

    assert deliver_due() == 30

    assert len(sent()) == 30
    assert message_ids(server, 30) == sent()


@pytest.mark.parametrize(
    ("package", "settings", "each"),
    [
        (EXIM, "smtp_accept_max_per_connection = 3", 1),
        (OPENSMTPD, "smtp limit max-mails 3", 1),
        (POSTFIX, "smtpd_hard_error_limit = 3", 3),  # two of three are refused
    ],
)
def test_a_server_of_little_patience_delays_nothing(start, package, settings, each) -> None:
    server = start(package, settings)
    route = RouteFactory.create(port=server.port, connections=1)
    accept(recipients(30, known=lambda number: number % each == 0), route=route)

    deliver_due()

    assert not Message.objects.filter(status=Status.DEFERRED).exists()
    assert len(sent()) == 30 // each
    assert message_ids(server, 30 // each) == sent()
