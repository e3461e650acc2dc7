"""`make run` gives a stranger a working installation, and keeps what it was given."""

from __future__ import annotations

import email
import email.policy
import json
import re
import signal
import socket
import sqlite3
import stat
import subprocess
from pathlib import Path

import pytest
import requests

from tests.processes import answers, program, stop, wait_until
from tests.sink import free_port

pytestmark = pytest.mark.integration


class Trial:
    """An installation in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log = directory / "log"
        self.port = free_port()
        self.environment = {"DATA_DIR": str(directory / "var"), "PORT": str(self.port)}

    def start(self):
        return program("-m", "billionmail.embedded", log=self.log, **self.environment)

    def wait(self) -> None:
        wait_until(lambda: answers(f"http://127.0.0.1:{self.port}/healthz"))
        wait_until(lambda: "Ctrl-C stops it" in self.output)

    @property
    def output(self) -> str:
        return self.log.read_text()

    @property
    def facts(self) -> dict[str, str]:
        return json.loads((self.directory / "var/first-run.json").read_text())

    def mails(self) -> list[Path]:
        return sorted((self.directory / "var/inbox").glob("*.eml"))

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


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(tmp_path)


def test_a_first_start_ends_in_a_mail_that_can_be_seen_and_a_second_changes_nothing(
    trial: Trial,
) -> None:
    with trial.start() as running:
        trial.wait()
        facts = trial.facts
        assert list(facts) == ["url", "admin_username", "admin_password", "api_key", "inbox_url"]
        file = trial.directory / "var/first-run.json"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600

        curl = re.search(r"  curl .*?(?=\n\n)", trial.output, re.DOTALL)[0]
        answer = subprocess.run(curl, shell=True, capture_output=True, check=True)
        assert json.loads(answer.stdout)["msg"] == "Email sent successfully"
        wait_until(trial.mails)
        assert b"Subject: Welcome, Ann!" in trial.mails()[0].read_bytes()
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
        assert stop(running, signal.SIGINT) == 0

    with trial.start():
        trial.wait()
        assert trial.facts == facts
        assert trial.send("again@example.com").status_code == 200
        assert trial.send_in_chunks("chunks@example.com").status_code == 200
        wait_until(lambda: len(trial.mails()) == 3)
    assert "Traceback" not in trial.output


def test_an_opening_and_a_click_are_in_the_history_soon(trial: Trial) -> None:
    with trial.start():
        trial.wait()
        assert trial.send("ann@example.com").status_code == 200
        wait_until(trial.mails)
        mail = email.message_from_bytes(trial.mails()[0].read_bytes(), policy=email.policy.default)
        html = mail.get_body(("html",)).get_content()
        for address in re.findall(r'"(http://127[^"]+/t/[^"]+)"', html):
            requests.get(address, allow_redirects=False, timeout=60).raise_for_status()
        wait_until(lambda: {"opened", "clicked"} <= trial.kinds())
    assert "Tracked links may not work" not in trial.output


def test_mail_that_waits_when_it_stops_is_sent_at_the_next_start(trial: Trial) -> None:
    with trial.start() as running:
        trial.wait()
        for number in range(30):
            assert trial.send(f"r{number}@example.com").status_code == 200
        stop(running, signal.SIGTERM)
    with trial.start():
        trial.wait()
        wait_until(lambda: len(trial.mails()) == 30)


def test_a_port_in_use_is_said_before_anything_is_made(trial: Trial) -> None:
    with socket.create_server(("127.0.0.1", trial.port)), trial.start() as running:
        assert running.wait(timeout=60) == 1
    assert f"Port {trial.port} (PORT) cannot be used" in trial.output
    assert not (trial.directory / "var").exists()


@pytest.mark.parametrize("directory", ["/proc/nowhere", "{file}", "{file}/var"])
def test_a_data_dir_that_cannot_be_used_is_one_line(trial: Trial, directory: str) -> None:
    file = trial.directory / "file"
    file.touch()
    trial.environment["DATA_DIR"] = directory.format(file=file)
    with trial.start() as running:
        assert running.wait(timeout=60) == 1
    assert trial.output.startswith(f"DATA_DIR is {trial.environment['DATA_DIR']}, which cannot")
    assert trial.output.count("\n") == 1
