"""What is written is there, whole, whoever dies in the middle."""

from __future__ import annotations

import os
import resource
import signal
import threading
from pathlib import Path

import pytest

from tracking import spool
from tracking.spool import Writer, records


def segments(home: Path) -> list[Path]:
    return sorted(home.glob("*.hits"))


def contents(home: Path) -> list[bytes]:
    return [record for path in segments(home) for _, record in records(path.read_bytes())]


def test_records_come_back_with_their_places(home: Path) -> None:
    writer = Writer()
    assert writer.append(b'["a"]')
    assert writer.append(b'["b"]')
    (segment,) = segments(home)
    assert list(records(segment.read_bytes())) == [(0, b'["a"]'), (7, b'["b"]')]


def test_threads_share_a_segment_and_no_record_is_torn(home: Path) -> None:
    writer = Writer()
    threads = [
        threading.Thread(target=lambda n=n: [writer.append(b"%d" % n * 300) for _ in range(200)])
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = contents(home)
    assert len(segments(home)) == 1
    assert sorted(found) == sorted(b"%d" % n * 300 for n in range(8) for _ in range(200))


@pytest.mark.parametrize(
    ("octets", "whole"),
    [
        (b"", []),
        (b"\x1e1\n\x1e2\n", [b"1", b"2"]),
        (b"\x1e1\n\x1e2", [b"1"]),
        (b"\x1e1\n\x1e", [b"1"]),
        (b"\x1ehalf\x1e2\n", [b"2"]),
        (b"rubbish\x1e2\n", [b"2"]),
        (b"\0\0\0\0", []),
        (b"\x1e1\n\0\0\0\0", [b"1"]),
    ],
)
def test_a_record_that_was_cut_off_spoils_no_other(octets: bytes, whole: list[bytes]) -> None:
    assert [record for _, record in records(octets)] == whole


def test_a_segment_is_locked_while_its_process_lives_and_free_after_a_kill(home: Path) -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:  # it does nothing but write and wait, and never comes back into the test
        try:
            Writer().append(b"[1]")
            os.write(writing, b".")
            signal.pause()
        finally:
            os._exit(1)
    os.read(reading, 1)
    (segment,) = segments(home)
    with spool.locked(segment) as is_abandoned:
        assert not is_abandoned
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with spool.locked(segment) as is_abandoned:
        assert is_abandoned
    assert contents(home) == [b"[1]"]
    os.close(reading)
    os.close(writing)


def test_a_forked_process_writes_to_a_segment_of_its_own(home: Path) -> None:
    spool.writer.append(b"[1]")
    child = os.fork()
    if child == 0:
        os._exit(0 if spool.writer.append(b"[2]") else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert len(segments(home)) == 2
    with spool.locked(segments(home)[0]) as first, spool.locked(segments(home)[1]) as second:
        assert sorted([first, second]) == [False, True]


def test_a_long_segment_is_followed_by_another(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "SEGMENT_BYTES", 10)
    writer = Writer()
    for number in range(6):
        writer.append(b"%d" % number * 3)
    assert len(segments(home)) == 3
    assert len(contents(home)) == 6


def test_a_full_disk_is_an_answer_not_an_error(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    writer = Writer()
    assert writer.append(b"[1]")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8, before[1]))
        assert not writer.append(b"[2]")  # half of it fits
        assert not writer.append(b"[3]")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert writer.append(b"[4]")
    assert contents(home) == [b"[1]", b"[4]"]
    assert caplog.text.count("Opens and clicks are answered but lost") == 1


def test_a_directory_that_cannot_be_made_is_told(
    tmp_path: Path, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    home.write_text("a file stands in the way")
    assert not Writer().append(b"[1]")
    assert str(home) in caplog.text
