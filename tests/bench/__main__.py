"""Measure, print, store: the command of `make bench`."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict

from tests.bench.bench import Bench
from tests.bench.profile import from_command_line
from tests.bench.stage import stage
from tests.sink import Sink


def main() -> int:
    """Return 1 when a ratio is below what must be."""
    profile = from_command_line()
    # Whoever ends this early, as `timeout` does, must not leave the servers behind.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    began = time.monotonic()
    with stage() as servers, _checking_sink() as sink:
        bench = Bench(servers, checking_sink=sink, profile=profile)
        bench.run()
    bench.report.show()
    bench.report.store(asdict(profile))
    print(f"It took {(time.monotonic() - began) / 60:.1f} minutes.")
    for name in bench.report.missed():
        print(f"Below what must be: {name}")
    return int(bool(bench.report.missed()))


@contextlib.contextmanager
def _checking_sink() -> Iterator[Sink]:
    """Run the sink of the tests, which keeps every mail; far slower than smtp-sink."""
    sink = Sink()
    sink.start()
    try:
        yield sink
    finally:
        sink.stop()


if __name__ == "__main__":
    sys.exit(main())
