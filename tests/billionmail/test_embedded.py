"""`make run` gives a stranger a working installation, and keeps what it was given."""

from __future__ import annotations

import contextlib
import email
import json
import re
import signal
import socket
import sqlite3
import stat
import subprocess
from collections.abc import Iterator
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

import pytest
import requests

from tests.processes import answers, program, stop, wait_until
from tests.sink import free_port

pytestmark = pytest.mark.integration

READY = "Ctrl-C stops it"


class Trial:
    """An installation in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log = directory / "log"
        self.port = free_port()
        self.environment = {"DATA_DIR": str(directory / "var"), "PORT": str(self.port)}
        self._running = contextlib.ExitStack()
        self._process: subprocess.Popen[bytes] | None = None

    def run(self):
        return program("-m", "billionmail.embedded", log=self.log, **self.environment)

    def start(self) -> None:
        told = self.output.count(READY) if self.log.exists() else 0
        self._process = self._running.enter_context(self.run())
        wait_until(lambda: answers(f"http://127.0.0.1:{self.port}/healthz"))
        wait_until(lambda: self.output.count(READY) > told)

    def stop(self, number: int) -> int:
        return stop(self._process, number)

    def close(self) -> None:
        self._running.close()

    @property
    def output(self) -> str:
        return self.log.read_text()

    @property
    def facts(self) -> dict[str, str]:
        return json.loads((self.directory / "var/first-run.json").read_text())

    def mails(self, word: str) -> list[EmailMessage]:
        """Return the mails to those whose address has the word in it."""
        inbox = (self.directory / "var/inbox").glob("*.eml")
        mails = [email.message_from_bytes(file.read_bytes(), policy=default) for file in inbox]
        return [mail for mail in mails if word in mail["To"]]

    def kinds(self) -> set[str]:
        with sqlite3.connect(self.directory / "var/billionmail.sqlite3") as connection:
            return {kind for (kind,) in connection.execute("SELECT kind FROM sending_event")}

    def send(self, recipient: str) -> requests.Response:
        return requests.post(
            self.facts["url"] + "/api/batch_mail/api/send",
            json={"recipient": recipient},
            headers={"X-API-Key": self.facts["api_key"]},
            timeout=60,
        )

    def send_in_chunks(self, recipient: str) -> requests.Response:
        body = json.dumps({"recipient": recipient}).encode()
        return requests.post(
            self.facts["url"] + "/api/batch_mail/api/send",
            data=iter([body[:5], body[5:]]),
            headers={"X-API-Key": self.facts["api_key"], "Content-Type": "application/json"},
            timeout=60,
        )


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    """Return an installation that runs since its first start; who stops it starts it again."""
    made = Trial(tmp_path_factory.mktemp("trial"))
    made.start()
    yield made
    made.close()


@pytest.fixture
def unstarted(tmp_path: Path) -> Trial:
    return Trial(tmp_path)


def test_a_first_start_ends_in_a_mail_that_can_be_seen(trial: Trial) -> None:
    facts = trial.facts
    assert list(facts) == ["url", "admin_username", "admin_password", "api_key", "inbox_url"]
    file = trial.directory / "var/first-run.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600

    curl = re.search(r"  curl .*?(?=\n\n)", trial.output, re.DOTALL)[0]
    answer = subprocess.run(curl, shell=True, capture_output=True, check=True)
    assert json.loads(answer.stdout)["msg"] == "Email sent successfully"
    wait_until(lambda: trial.mails("you@"))
    assert trial.mails("you@")[0]["Subject"] == "Welcome, Ann!"
    assert "you@example.com" in requests.get(facts["inbox_url"], timeout=60).text

    session = requests.Session()
    login = session.get(facts["url"] + "/admin/login/", timeout=60)
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', login.text)[1]
    page = session.post(
        login.url + "?next=/admin/",
        {
            "csrfmiddlewaretoken": token,
            "username": facts["admin_username"],
            "password": facts["admin_password"],
        },
        headers={"Referer": login.url},
        timeout=60,
    )
    assert page.url.endswith("/admin/")
    assert "Log out" in page.text
    assert "Traceback" not in trial.output


def test_an_opening_and_a_click_are_in_the_history_soon(trial: Trial) -> None:
    assert trial.send("reader@example.com").status_code == 200
    wait_until(lambda: trial.mails("reader@"))
    html = trial.mails("reader@")[0].get_body(("html",)).get_content()
    for address in re.findall(r'"(http://127[^"]+/t/[^"]+)"', html):
        requests.get(address, allow_redirects=False, timeout=60).raise_for_status()
    wait_until(lambda: {"opened", "clicked"} <= trial.kinds())
    assert "Tracked links may not work" not in trial.output


def test_a_command_beside_it_knows_at_which_address_it_is(trial: Trial) -> None:
    beside = {"DATA_DIR": trial.environment["DATA_DIR"]}
    with program("manage.py", "check_tracking", log=trial.log, **beside) as command:
        assert command.wait(timeout=60) == 0, trial.output
    settings_file = trial.directory / "var/generated.env"
    assert stat.S_IMODE(settings_file.stat().st_mode) == 0o600


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_another_start_sends_what_waits_and_changes_nothing(trial: Trial, number: int) -> None:
    facts, word = trial.facts, f"of-{number}-"
    for place in range(30):
        assert trial.send(f"{word}{place}@example.com").status_code == 200
    assert trial.stop(number) == 0

    trial.start()
    wait_until(lambda: len(trial.mails(word)) == 30)
    assert trial.facts == facts
    assert trial.send_in_chunks(f"chunks-{word}@example.com").status_code == 200
    wait_until(lambda: len(trial.mails(word)) == 31)
    assert "Traceback" not in trial.output


def test_a_port_in_use_is_said_before_anything_is_made(unstarted: Trial) -> None:
    with socket.create_server(("127.0.0.1", unstarted.port)), unstarted.run() as running:
        assert running.wait(timeout=60) == 1
    assert f"Port {unstarted.port} (PORT) cannot be used" in unstarted.output
    assert not (unstarted.directory / "var").exists()


@pytest.mark.parametrize("directory", ["/proc/nowhere", "{file}", "{file}/var"])
def test_a_data_dir_that_cannot_be_used_is_one_line(unstarted: Trial, directory: str) -> None:
    file = unstarted.directory / "file"
    file.touch()
    unstarted.environment["DATA_DIR"] = directory.format(file=file)
    with unstarted.run() as running:
        assert running.wait(timeout=60) == 1
    wanted = unstarted.environment["DATA_DIR"]
    assert unstarted.output.startswith(f"DATA_DIR is {wanted}, which cannot")
    assert unstarted.output.count("\n") == 1
