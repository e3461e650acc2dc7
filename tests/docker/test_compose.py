"""Hold docker/compose.yaml to what docker/README.md promises."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

DOCKER = Path(__file__).resolve().parents[2] / "docker"
TEXT = (DOCKER / "compose.yaml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {"migrate", "web", "worker", "beat", "reports"}
SECRETS = {
    "SECRET_KEY",
    "API_KEY_HASH_KEY",
    "ENCRYPTION_KEYS",
    "SIGNING_KEYS",
    "POSTGRES_PASSWORD",
    "REDIS_PASSWORD",
}
VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)(:?[-?])?")

every_service = pytest.mark.parametrize("name", sorted(SERVICES))


def environment(name: str) -> dict[str, str | None]:
    return SERVICES[name].get("environment", {})


def taken_from_env_file() -> set[str]:
    """Names that Compose looks up: interpolated ones, and those passed on without a value."""
    named = {match[1] for match in VARIABLE.finditer(TEXT)}
    passed_on = {key for name in SERVICES for key, value in environment(name).items() if not value}
    return named | passed_on


def explained_in_example() -> set[str]:
    example = (DOCKER / ".env.example").read_text()
    return set(re.findall(r"^(?:# )?([A-Z][A-Z_0-9]+)=", example, flags=re.MULTILINE))


def test_only_the_tls_front_publishes_ports_to_the_world():
    assert {name for name, service in SERVICES.items() if "ports" in service} == {
        "caddy",
        "reports",
    }
    assert SERVICES["reports"]["ports"] == ["${REPORTS_BIND:-127.0.0.1:2526}:2526"]
    assert {port.split(":")[0] for port in SERVICES["caddy"]["ports"]} == {"80", "443"}


@every_service
def test_root_file_system_is_read_only(name: str):
    assert SERVICES[name]["read_only"] is True


@every_service
def test_no_process_can_gain_privileges(name: str):
    assert SERVICES[name]["security_opt"] == ["no-new-privileges:true"]
    assert not SERVICES[name].get("privileged")


@every_service
def test_capabilities_are_dropped_but_for_the_two_that_need_root(name: str):
    needed = {
        "caddy": {"NET_BIND_SERVICE"},
        "relay": {
            "CHOWN",
            "DAC_OVERRIDE",
            "FOWNER",
            "KILL",
            "NET_BIND_SERVICE",
            "SETGID",
            "SETUID",
        },
    }
    assert SERVICES[name]["cap_drop"] == ["ALL"]
    assert set(SERVICES[name].get("cap_add", [])) == needed.get(name, set())


def test_third_party_services_run_as_their_own_user():
    assert SERVICES["postgres"]["user"] == "postgres"
    assert SERVICES["redis"]["user"] == "redis"


@pytest.mark.parametrize("name", sorted(OURS))
def test_our_roles_keep_the_user_of_the_image(name: str):
    assert "user" not in SERVICES[name]
    assert SERVICES[name]["build"]["dockerfile"] == "docker/Dockerfile"
    assert SERVICES[name]["command"] == [name]


@every_service
def test_image_is_pinned_to_a_release_line(name: str):
    image = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", SERVICES[name]["image"])
    tag = image.partition(":")[2]
    assert tag
    assert tag != "latest"
    assert "build" in SERVICES[name] or re.match(r"\d+", tag)


@every_service
def test_lasting_service_restarts_and_tells_its_health(name: str):
    service = SERVICES[name]
    if name == "migrate":
        assert service["restart"] == "no"
        assert service["healthcheck"] == {"disable": True}
        return
    assert service["restart"] == "unless-stopped"
    context = {"web": DOCKER / "Dockerfile", "relay": DOCKER / "relay" / "Dockerfile"}
    in_image = name in context and "\nHEALTHCHECK " in context[name].read_text()
    assert in_image or service["healthcheck"]["test"]


@pytest.mark.parametrize("name", ["web", "worker", "beat", "reports"])
def test_nothing_serves_before_the_database_is_up_to_date(name: str):
    conditions = {other: it["condition"] for other, it in SERVICES[name]["depends_on"].items()}
    assert conditions["migrate"] == "service_completed_successfully"
    assert conditions["postgres"] == "service_healthy"


@pytest.mark.parametrize("name", sorted(OURS))
def test_our_roles_have_time_to_finish_what_is_on_the_wire(name: str):
    assert SERVICES[name]["stop_grace_period"] == "90s"


def test_worker_has_nothing_that_only_one_container_can_have():
    assert not {"container_name", "hostname", "ports"} & set(SERVICES["worker"])


def test_store_is_reached_by_our_roles_only():
    assert COMPOSE["networks"]["store"]["internal"] is True
    assert SERVICES["postgres"]["networks"] == SERVICES["redis"]["networks"] == ["store"]
    assert {n for n, s in SERVICES.items() if "store" in s["networks"]} == OURS | {
        "postgres",
        "redis",
    }


def test_relay_is_reached_by_the_worker_only():
    assert {n for n, s in SERVICES.items() if "mail" in s["networks"]} == {"relay", "worker"}
    assert environment("relay")["RELAY_CLIENTS"] == (
        "127.0.0.1/32 !${MAIL_GATEWAY:-172.30.25.1} ${MAIL_SUBNET:-172.30.25.0/24}"
    )


def test_every_named_volume_is_declared():
    used = {
        volume.split(":")[0]
        for service in SERVICES.values()
        for volume in service.get("volumes", [])
        if not volume.startswith(".")
    }
    assert used == set(COMPOSE["volumes"])


def test_no_secret_has_a_default():
    asked = {(match[1], match[2]) for match in VARIABLE.finditer(TEXT)}
    assert {name for name, _ in asked} >= SECRETS
    assert {operator for name, operator in asked if name in SECRETS} == {":?"}
    assert {operator for _, operator in asked} <= {":?", ":-"}


@pytest.mark.parametrize("name", sorted(OURS))
def test_every_variable_of_our_roles_is_one_that_billionmail_reads(name: str):
    readers = [DOCKER.parent / "billionmail" / file for file in ("settings.py", "gunicorn.py")]
    code = "".join(path.read_text() for path in readers)
    read = set(re.findall(r"""(?:env\.\w+|environ\.get)\(\s*["']([A-Z_0-9]+)["']""", code))
    assert set(environment(name)) <= read


def test_everything_that_compose_asks_for_is_explained_in_the_example_and_nothing_else():
    read_by_compose_itself = {"COMPOSE_PROFILES"}
    assert explained_in_example() == taken_from_env_file() | read_by_compose_itself


def test_every_setting_can_be_made_but_for_those_that_are_made_here():
    known = set(
        re.findall(r"^#?([A-Z_0-9]+)=", (DOCKER.parent / ".env.example").read_text(), re.MULTILINE)
    )
    of_the_image = set(re.findall(r"([A-Z_]+)=", (DOCKER / "Dockerfile").read_text()))
    # The host is that of PUBLIC_URL; the database is asked directly; the others are for a trial.
    left_out = {"ALLOWED_HOSTS", "PREPARE_STATEMENTS", "PORT", "DEBUG", "ENV_FILE"} | {
        "MAIL_CATCHER",
        "MAIL_CATCHER_PORT",
    }
    made = {variable for name in OURS for variable in environment(name)} | of_the_image
    assert known - made == left_out


def test_reports_are_received_only_when_asked_for():
    assert {name for name, service in SERVICES.items() if "profiles" in service} == {"reports"}
    assert SERVICES["reports"]["networks"] == ["reports", "store"]


def test_exactly_one_proxy_is_believed():
    front = (DOCKER / "caddy" / "Caddyfile").read_text()
    assert environment("web")["TRUSTED_PROXY_COUNT"] == "1"
    assert "header_up X-Forwarded-For {remote_host}\n" in front
    assert "trusted_proxies" not in front


def test_tracking_domains_are_served_like_the_domain():
    front = (DOCKER / "caddy" / "Caddyfile").read_text()
    assert "\n{$DOMAIN} {$TRACKING_DOMAINS} {\n" in front
    assert "TRACKING_DOMAINS" in SERVICES["caddy"]["environment"]


def test_whoever_stores_hits_has_the_files_that_the_web_server_writes_them_to():
    for name in ("web", "worker"):
        assert "data:/var/lib/billionmail" in SERVICES[name]["volumes"]


def test_accepted_mail_is_on_disk_before_the_answer():
    assert "synchronous_commit" not in str(SERVICES["postgres"])
    assert "fsync" not in str(SERVICES["postgres"])


def test_commands_of_the_readme_make_every_secret(tmp_path: Path):
    shutil.copy(DOCKER / ".env.example", tmp_path)
    block = (DOCKER / "README.md").read_text().split("```sh\n")[1].split("```")[0]
    subprocess.run(
        ["sh", "-euc", block.replace("cd docker\n", "")], cwd=tmp_path, check=True, timeout=30
    )
    made = dict(
        line.split("=", 1)
        for line in (tmp_path / ".env").read_text().splitlines()
        if re.match(r"[A-Z]", line)
    )
    values = [made[name] for name in SECRETS]
    assert all(re.fullmatch(r"[0-9a-f]{64}", value) for value in values)
    assert len(set(values)) == len(SECRETS)
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600
