"""Give tests the mail servers that people run."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest

from tests.rig.mail_servers import MailServer
from tests.sending.transports.certificate import Certificate, make_certificate
from tests.sending.transports.real_servers import SERVERS, must_run


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module", params=SERVERS)
def shared_server(request: pytest.FixtureRequest, certificate: Certificate) -> Iterator[MailServer]:
    """Run each real server in turn."""
    must_run(request.param)
    with SERVERS[request.param](pem=certificate.pem) as running:
        yield running


@pytest.fixture
def server(shared_server: MailServer) -> MailServer:
    """Give a real server whose boxes are empty."""
    for path in (shared_server.root / "mail").glob("*/new/*"):
        path.unlink()
    return shared_server


@pytest.fixture
def start(certificate: Certificate) -> Iterator[Callable[[str, str], MailServer]]:
    """Start real servers with settings of their own."""
    with contextlib.ExitStack() as stack:

        def start_one(package: str, settings: str) -> MailServer:
            must_run(package)
            return stack.enter_context(SERVERS[package](pem=certificate.pem, settings=settings))

        yield start_one
