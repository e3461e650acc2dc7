"""Start every role as an ordinary user, who owns nothing but the data directory."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.processes import answers, stop, wait_until
from tests.sink import free_port

ROOT = Path(__file__).resolve().parents[2]
ENTRYPOINT = str(ROOT / "docker" / "entrypoint.sh")
NOBODY = 65534
STOP_SECONDS = 30

Environment = dict[str, str]


def command(*arguments: str) -> list[str]:
    """Return the command line of a role; root gives up everything but reading.

    Reading is kept because the interpreter of a developer may lie in root's home directory.
    """
    if os.geteuid() != 0:
        return [ENTRYPOINT, *arguments]
    return [
        "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs",
        "--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search",
        "--bounding-set=-all,+dac_read_search", ENTRYPOINT, *arguments,
    ]  # fmt: skip


def run(*arguments: str, environment: Environment) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), env=environment, capture_output=True, text=True, timeout=120
    )


@contextlib.contextmanager
def role(*arguments: str, environment: Environment, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start a role; end it if it still runs."""
    with log.open("wb") as output:
        running = subprocess.Popen(
            command(*arguments), env=environment, stdout=output, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    try:
        yield running
    finally:
        if running.poll() is None:
            stop(running, signal.SIGTERM)


def fresh_environment(data_dir: Path) -> Environment:
    if os.geteuid() == 0:
        os.chown(data_dir, NOBODY, NOBODY)
    return {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "HOME": str(data_dir),
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "ENV_FILE": "",
        "DATA_DIR": str(data_dir),
        "SECRET_KEY": "s" * 40,
        "API_KEY_HASH_KEY": "h" * 40,
        "ENCRYPTION_KEYS": "e" * 40,
        "SIGNING_KEYS": "g" * 40,
    }


def health_check(port: int) -> list[str]:
    """Return the HEALTHCHECK of the image, pointed at another port."""
    text = (ROOT / "docker" / "Dockerfile").read_text()
    found = re.search(r"^HEALTHCHECK.*\\\n\s+CMD (\[.*\])$", text, flags=re.MULTILINE)
    assert found
    _, *rest = json.loads(found[1].replace(":8000", f":{port}"))
    return [sys.executable, *rest]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def migration(data: Path) -> subprocess.CompletedProcess[str]:
    """Run the migrate role on an empty data directory."""
    return run("migrate", environment=fresh_environment(data))


@pytest.fixture(scope="module")
def migrated(data: Path, migration: subprocess.CompletedProcess[str]) -> Environment:
    assert migration.returncode == 0, migration.stderr
    return fresh_environment(data)


def test_entrypoint_is_a_valid_posix_script():
    for script in (ENTRYPOINT, ROOT / "docker" / "relay" / "start.sh"):
        subprocess.run(["sh", "-n", script], check=True)


@pytest.mark.parametrize("arguments", [[], ["nonsense"]], ids=["none", "unknown"])
def test_unknown_role_prints_the_usage(arguments: list[str], tmp_path: Path):
    result = run(*arguments, environment=fresh_environment(tmp_path))
    assert result.returncode == 2
    assert "usage: entrypoint.sh ROLE" in result.stderr
    roles = ("web", "worker", "beat", "reports", "migrate", "manage")
    assert all(name in result.stderr for name in roles)


@pytest.mark.integration
def test_migrate_makes_the_tables_and_reports_what_is_unsafe(
    data: Path, migration: subprocess.CompletedProcess[str]
):
    assert migration.returncode == 0, migration.stderr
    assert "Applying sending.0001_initial... OK" in migration.stdout
    assert "security.W" in migration.stderr
    assert (data / "billionmail.sqlite3").exists()


@pytest.mark.integration
def test_migrate_fails_when_a_secret_is_missing(tmp_path: Path):
    environment = fresh_environment(tmp_path) | {"SIGNING_KEYS": ""}
    result = run("migrate", environment=environment)
    assert result.returncode != 0
    assert "SIGNING_KEYS" in result.stderr


@pytest.mark.integration
def test_manage_runs_a_management_command(migrated: Environment):
    result = run("manage", "migrate", "--check", environment=migrated)
    assert result.returncode == 0, result.stderr


@pytest.mark.integration
def test_web_answers_its_health_check_and_stops_on_sigterm(migrated: Environment, tmp_path: Path):
    port = free_port()
    environment = migrated | {"BIND": f"127.0.0.1:{port}", "WEB_WORKERS": "1"}
    with role("web", environment=environment, log=tmp_path / "log") as web:
        wait_until(lambda: answers(f"http://localhost:{port}/healthz"))
        assert answers(f"http://localhost:{port}/readyz")
        subprocess.run(health_check(port), check=True, timeout=60)
        assert stop(web, signal.SIGTERM) == 0
    assert subprocess.run(health_check(port), stderr=subprocess.DEVNULL, timeout=60).returncode == 1


@pytest.mark.integration
def test_web_starts_without_the_database_for_those_who_open_mails(tmp_path: Path):
    port = free_port()
    environment = fresh_environment(tmp_path) | {
        "DATABASE_URL": "postgres://billionmail:hidden-word@127.0.0.1:1/mail",
        "BIND": f"127.0.0.1:{port}",
        "WEB_WORKERS": "1",
    }
    with role("web", environment=environment, log=tmp_path / "log"):
        wait_until(lambda: answers(f"http://localhost:{port}/healthz"))
        assert answers(f"http://localhost:{port}/t/o/x.gif")
        assert not answers(f"http://localhost:{port}/readyz")


@pytest.mark.integration
@pytest.mark.parametrize(("name", "started"), [("worker", " ready."), ("beat", "beat: Starting")])
def test_celery_role_starts_and_stops_on_sigterm(
    name: str, started: str, migrated: Environment, tmp_path: Path
):
    log = tmp_path / "log"
    with role(name, environment=migrated, log=log) as running:
        wait_until(lambda: started in log.read_text())
        if name == "beat":  # which, while it opens its file, survives the signal and goes on
            wait_until(lambda: list(Path(migrated["HOME"]).glob("beat-schedule*")))
            time.sleep(0.5)
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=STOP_SECONDS) == 0, log.read_text()


@pytest.mark.integration
def test_running_beat_passes_the_health_check_of_its_container(
    migrated: Environment, tmp_path: Path
):
    compose = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())
    kind, check = compose["services"]["beat"]["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    here = migrated | {"DATA_DIR": str(tmp_path)}
    fresh_environment(tmp_path)
    check = check.replace("/var/lib/billionmail", str(tmp_path))
    assert subprocess.run(["sh", "-c", check]).returncode == 1
    with role("beat", environment=here, log=tmp_path / "log"):
        wait_until(lambda: subprocess.run(["sh", "-c", check]).returncode == 0)


@pytest.mark.integration
def test_reports_role_passes_its_health_check_and_stops_on_sigterm(
    migrated: Environment, tmp_path: Path
):
    port = free_port()
    compose = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())
    _, _, *rest = compose["services"]["reports"]["healthcheck"]["test"]
    check = [sys.executable, *(part.replace("2526", str(port)) for part in rest)]
    log = tmp_path / "log"
    with role("reports", "--port", str(port), environment=migrated, log=log) as running:
        wait_until(lambda: f"by SMTP on 0.0.0.0:{port}" in log.read_text())
        subprocess.run(check, check=True, timeout=60)
        assert stop(running, signal.SIGTERM) == 0
    assert subprocess.run(check, stderr=subprocess.DEVNULL, timeout=60).returncode == 1


@pytest.mark.integration
def test_absent_database_is_named_without_its_password(tmp_path: Path):
    environment = fresh_environment(tmp_path) | {
        "DATABASE_URL": "postgres://billionmail:hidden-word@127.0.0.1:1/mail",
        "DATABASE_WAIT_SECONDS": "0",
    }
    result = run("worker", environment=environment)
    assert result.returncode == 1
    assert "The database mail at 127.0.0.1:1 did not answer within 0 seconds" in result.stderr
    assert "Check DATABASE_URL" in result.stderr
    assert "hidden-word" not in result.stderr + result.stdout


@pytest.mark.integration
def test_waiting_time_that_is_no_number_is_refused(tmp_path: Path):
    environment = fresh_environment(tmp_path) | {"DATABASE_WAIT_SECONDS": "soon"}
    result = run("worker", environment=environment)
    assert result.returncode == 1
    assert "DATABASE_WAIT_SECONDS is 'soon'" in result.stderr
