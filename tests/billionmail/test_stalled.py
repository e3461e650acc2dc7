"""Callers that send slowly, or in chunks, meet gunicorn as it runs in production."""

from __future__ import annotations

import time
from contextlib import ExitStack

import pytest
import requests
from django.conf import settings

from tests.billionmail.web import READ_SECONDS, THREADS, Web

pytestmark = pytest.mark.integration

SEND = "/api/batch_mail/api/send"
HEAD = f"POST {SEND} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: x\r\n".encode()


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /healthz HTT",
        HEAD + b"Content-Length: 100\r\n\r\n{",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n64\r\n{",
    ],
    ids=["half a head", "half a body", "half a chunk"],
)
def test_more_stalled_requests_than_threads_hold_the_service_only_for_a_moment(
    web: Web, sent: bytes
) -> None:
    with ExitStack() as connections:
        for _ in range(10 * THREADS):
            connections.enter_context(web.connect(sent))
        # Long enough for a slow machine; gunicorn ends a worker that hangs after thirty seconds.
        assert web.answers_within(20)
    assert "Traceback" not in web.log.read_text()


def test_connections_that_say_nothing_hold_no_thread(web: Web) -> None:
    with ExitStack() as connections:
        silent = [connections.enter_context(web.connect(b"")) for _ in range(10 * THREADS)]
        # In turn they would hold the threads for ten times as long as one of them may.
        assert web.answers_within(10 * READ_SECONDS - 5)
        assert {connection.recv(1) for connection in silent} == {b""}


def test_a_request_that_drips_is_closed_when_its_time_is_over(web: Web) -> None:
    started = time.monotonic()
    with web.connect(b"GET /healthz HTTP/1.1\r\nX-Slow: ") as connection:
        connection.settimeout(0.2)
        closed = False
        while not closed and time.monotonic() - started < READ_SECONDS + 60:
            try:
                connection.sendall(b"x")
                closed = connection.recv(1) == b""
            except TimeoutError:
                continue
            except ConnectionError:
                closed = True
    assert closed
    assert time.monotonic() - started >= READ_SECONDS - 0.5


def test_a_kept_connection_has_its_time_for_every_request(web: Web) -> None:
    with requests.Session() as session:
        for _ in range(3):
            assert session.get(f"{web.url}/healthz", timeout=60).ok
            time.sleep(READ_SECONDS / 2)


def test_a_chunked_body_that_stalls_is_told_so_in_the_envelope(web: Web) -> None:
    with web.connect(HEAD + b"Transfer-Encoding: chunked\r\n\r\n64\r\n{") as connection:
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'"code": 1005' in answer
    assert b"came too slowly" in answer


def test_a_chunked_body_is_read_whole(web: Web) -> None:
    # The log-in form refuses a body without its token and says so only when it could read it.
    with requests.Session() as session:
        token = session.get(f"{web.url}/admin/login/", timeout=60).cookies["csrftoken"]
        form = f"csrfmiddlewaretoken={token}&username=a&password=b".encode()
        answer = session.post(
            f"{web.url}/admin/login/",
            data=iter([form[:20], form[20:]]),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            timeout=60,
        )
    assert answer.status_code == 200, answer.text
    assert "correct username" in answer.text


def test_a_chunked_body_without_end_is_refused_with_413_in_the_envelope(web: Web) -> None:
    limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    answer = requests.post(
        web.url + SEND, data=iter([b"x" * limit, b"x"]), timeout=60, headers={"X-API-Key": "x"}
    )
    assert answer.status_code == 413
    assert list(answer.json()) == ["success", "code", "msg", "data"]
    assert str(limit) in answer.json()["msg"]


def test_a_chunked_mail_may_be_as_long_as_the_view_takes(web: Web) -> None:
    mail = b"x" * (settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
    answer = requests.post(f"{web.url}/hooks/reports", data=iter([mail]), timeout=60)
    assert answer.status_code == 404  # nobody takes reports here, says the view
    assert "REPORT_INTAKE" in answer.text
