"""Hold the relay's configuration closed: for the mail network, and for nobody else."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

RELAY = Path(__file__).resolve().parents[2] / "docker" / "relay"
MAIN = dict(
    (part.strip() for part in line.split("=", 1))
    for line in (RELAY / "main.cf").read_text().splitlines()
    if line and not line.startswith("#")
)
GOOD = {"MAIL_HOSTNAME": "out.example.com", "RELAY_CLIENTS": "172.30.25.0/24"}


def start(tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run start.sh; Postfix is not needed: stand-ins on the PATH print what it would be told."""
    for name in ("postconf", "postfix", "cp"):
        stand_in = tmp_path / name
        stand_in.write_text(f'#!/bin/sh\nprintf "%s\\n" "{name} $*"\n')
        stand_in.chmod(0o755)
    return subprocess.run(
        [RELAY / "start.sh"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "RELAY_CONFIG_DIR": str(tmp_path / "config")}
        | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("stage", ["client", "relay", "recipient"])
def test_nobody_but_the_mail_network_may_relay(stage: str):
    assert MAIN[f"smtpd_{stage}_restrictions"] == "permit_mynetworks, reject"


def test_networks_come_from_the_installation_alone():
    assert "mynetworks" not in MAIN
    assert "mynetworks_style" not in MAIN


def test_no_mailbox_exists():
    assert MAIN["mydestination"] == ""
    assert MAIN["local_transport"].startswith("error:")


def test_log_goes_to_standard_output():
    assert MAIN["maillog_file"] == "/dev/stdout"


def test_start_hands_the_environment_to_postfix(tmp_path: Path):
    result = start(tmp_path, RELAY_TLS_LEVEL="encrypt", **GOOD)
    assert result.returncode == 0, result.stderr
    copied, configured, started = result.stdout.splitlines()
    config = tmp_path / "config"
    assert copied.startswith("cp /etc/postfix/")
    assert configured == (
        f"postconf -c {config} -e myhostname=out.example.com mynetworks=172.30.25.0/24 "
        "smtp_tls_security_level=encrypt"
    )
    assert started == f"postfix -c {config} start-fg"


def test_tls_is_used_where_offered_unless_told_otherwise(tmp_path: Path):
    assert "smtp_tls_security_level=may\n" in start(tmp_path, **GOOD).stdout


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAIL_HOSTNAME", ""),
        ("MAIL_HOSTNAME", "localhost"),
        ("RELAY_CLIENTS", ""),
        ("RELAY_CLIENTS", "0.0.0.0/0"),
        ("RELAY_CLIENTS", "172.30.25.0/24, ::/0"),
        ("RELAY_TLS_LEVEL", "none"),
    ],
)
def test_setting_that_would_do_harm_stops_the_start(name: str, value: str, tmp_path: Path):
    result = start(tmp_path, **(GOOD | {name: value}))
    assert result.returncode != 0
    assert name in result.stderr
    assert "postfix" not in result.stdout
