"""Choose among the real mail servers, and read what arrived."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage

import pytest

from tests.rig.jail import can_run
from tests.rig.mail_servers import exim, opensmtpd, postfix

POSTFIX, EXIM, OPENSMTPD = "postfix", "exim4-daemon-light", "opensmtpd"
SERVERS = {POSTFIX: postfix, EXIM: exim, OPENSMTPD: opensmtpd}


def must_run(package: str) -> None:
    """Skip the test where the server cannot be had."""
    if not can_run(package):
        pytest.skip(f"{package} is not unpacked here, or we are not root; see tests/rig/ensure.sh")


def only(*packages: str) -> pytest.MarkDecorator:
    """Run a test with these servers, not with all."""
    return pytest.mark.parametrize("shared_server", packages, indirect=True)


def parse(octets: bytes) -> EmailMessage:
    """Read a delivered message."""
    return email.message_from_bytes(octets, policy=email.policy.default)


def subjects(arrived: list[bytes]) -> list[str]:
    """Return the subjects of delivered messages, sorted."""
    return sorted(parse(octets)["Subject"] for octets in arrived)
