"""The catcher keeps exactly what it was sent, and promises nothing that it has not kept."""

from __future__ import annotations

import json
import smtplib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from billionmail.catcher import inbox
from billionmail.catcher.server import CatcherServer

MAIL = b"From: a@example.com\r\nSubject: Hi\r\n\r\nHello\r\n"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "inbox"


@pytest.fixture
def catcher(directory: Path) -> Iterator[CatcherServer]:
    server = CatcherServer(0, directory)
    server.start()
    yield server
    server.stop()


def send(
    catcher: CatcherServer, content: bytes, *, recipients: tuple[str, ...] = ("b@b.test",)
) -> None:
    with smtplib.SMTP("127.0.0.1", catcher.port, "client.test") as client:
        client.sendmail("a@a.test", recipients, content)


def caught(directory: Path) -> bytes:
    (path,) = directory.glob("*.eml")
    return path.read_bytes()


def converse(catcher: CatcherServer, *, sent: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", catcher.port), timeout=60) as client:
        stream = client.makefile("rb")
        stream.readline()
        client.sendall(sent)
        return stream.read()


def dialogue(content: bytes) -> bytes:
    return (
        b"EHLO client.test\r\nMAIL FROM:<a@a.test>\r\nRCPT TO:<b@b.test>\r\nDATA\r\n"
        + content
        + b".\r\nQUIT\r\n"
    )


def test_file_holds_exactly_the_bytes_that_came(catcher: CatcherServer, directory: Path) -> None:
    content = b"Subject: \xc3\xa9\xff\r\n\r\n\x00 tab\t bare\nline\r\n\r\ntrailing  \r\n\r\n"
    converse(catcher, sent=dialogue(content))
    assert caught(directory) == content


def test_dots_added_for_transport_are_taken_off_again(
    catcher: CatcherServer, directory: Path
) -> None:
    content = MAIL + b".\r\n..two\r\n.x\r\n"
    send(catcher, content)
    assert caught(directory) == content


def test_file_has_its_envelope_beside_it(catcher: CatcherServer, directory: Path) -> None:
    send(catcher, MAIL, recipients=("b@b.test", "c@c.test"))
    (name,) = inbox.names(directory)
    assert inbox.envelope(directory, name=name) == ("a@a.test", ("b@b.test", "c@c.test"))
    assert json.loads((directory / f"{name}.json").read_text())["envelope_sender"] == "a@a.test"


def test_null_return_path_is_kept_as_empty(catcher: CatcherServer, directory: Path) -> None:
    with smtplib.SMTP("127.0.0.1", catcher.port, "client.test") as client:
        client.sendmail("", ["b@b.test"], MAIL)
    (name,) = inbox.names(directory)
    assert inbox.envelope(directory, name=name) == ("", ("b@b.test",))


def test_answer_to_data_names_the_file_that_is_there(
    catcher: CatcherServer, directory: Path
) -> None:
    answers = converse(catcher, sent=dialogue(MAIL)).decode()
    (name,) = inbox.names(directory)
    assert f"250 OK caught as {name}\r\n" in answers


def test_commands_may_be_pipelined(catcher: CatcherServer, directory: Path) -> None:
    one = b"MAIL FROM:<a@a.test>\r\nRCPT TO:<b@b.test>\r\nDATA\r\n" + MAIL + b".\r\n"
    answers = converse(catcher, sent=b"EHLO client.test\r\n" + one * 20 + b"QUIT\r\n")
    assert b"250-PIPELINING\r\n" in answers
    assert answers.count(b"250 OK caught as ") == len(inbox.names(directory)) == 20


def test_utf8_addresses_are_caught(catcher: CatcherServer, directory: Path) -> None:
    with smtplib.SMTP("127.0.0.1", catcher.port, "client.test") as client:
        client.ehlo()
        assert client.has_extn("smtputf8")
        client.sendmail("a@a.test", ["jürgen@bücher.test"], MAIL, mail_options=["SMTPUTF8"])
    (name,) = inbox.names(directory)
    assert inbox.envelope(directory, name=name)[1] == ("jürgen@bücher.test",)


def test_mail_that_cannot_be_kept_is_deferred(catcher: CatcherServer, directory: Path) -> None:
    directory.rmdir()
    directory.write_text("a file where the directory should be")
    with pytest.raises(smtplib.SMTPDataError) as refusal:
        send(catcher, MAIL)
    assert refusal.value.smtp_code == 451


def test_failed_write_leaves_nothing_behind(
    catcher: CatcherServer, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "rename", _disk_full)
    with pytest.raises(smtplib.SMTPDataError):
        send(catcher, MAIL)
    assert list(directory.iterdir()) == []


def _disk_full(self: Path, target: Path) -> Path:
    raise OSError(28, "No space left on device")


def test_too_big_mail_is_refused_by_its_announced_size(
    catcher: CatcherServer, directory: Path
) -> None:
    with smtplib.SMTP("127.0.0.1", catcher.port, "client.test") as client:
        client.ehlo()
        limit = int(client.esmtp_features["size"])
        code, _ = client.docmd(f"MAIL FROM:<a@a.test> SIZE={limit + 1}")
    assert code == 552


def test_directory_is_private(catcher: CatcherServer, directory: Path) -> None:
    assert directory.stat().st_mode & 0o777 == 0o700


def test_directory_that_was_removed_comes_back(catcher: CatcherServer, directory: Path) -> None:
    directory.rmdir()
    send(catcher, MAIL)
    assert caught(directory) == MAIL


def test_server_listens_on_loopback_only(catcher: CatcherServer) -> None:
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", catcher.port), timeout=2)


def test_taken_port_is_reported_with_the_setting_to_change(
    catcher: CatcherServer, directory: Path
) -> None:
    with pytest.raises(OSError, match=rf"127\.0\.0\.1:{catcher.port}.*MAIL_CATCHER_PORT"):
        CatcherServer(catcher.port, directory).start()


def test_impossible_directory_is_reported_with_the_setting_to_change(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="DATA_DIR"):
        CatcherServer(0, tmp_path / "file" / "inbox").start()


def test_stopped_server_gives_its_port_back(directory: Path) -> None:
    server = CatcherServer(0, directory)
    server.start()
    server.stop()
    server.stop()
    again = CatcherServer(server.port, directory)
    again.start()
    send(again, MAIL)
    again.stop()
    assert caught(directory) == MAIL


def test_clearing_spares_files_of_others(catcher: CatcherServer, directory: Path) -> None:
    send(catcher, MAIL)
    (directory / "notes.eml").write_text("not ours")
    assert inbox.clear(directory) == 1
    assert [path.name for path in directory.iterdir()] == ["notes.eml"]
