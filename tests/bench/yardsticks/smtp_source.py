"""Send with Postfix's own load generator, which has no queue and renders nothing."""

from __future__ import annotations

import resource
import subprocess
import time

from tests.bench.mail import HTML_BYTES
from tests.bench.meter import metered
from tests.bench.sink import SmtpSink
from tests.rig.servers import find

SESSIONS = 20


def smtp_source(sink: SmtpSink, *, messages: int, is_far: bool = False) -> dict[str, float]:
    """Send mails of the same size over kept connections."""
    port = sink.far_port if is_far else sink.port
    began, before = time.monotonic(), _children_seconds()
    with sink.expecting(messages), metered({"sink": [sink.pid]}) as used:
        subprocess.run(
            [find("smtp-source"), "-d", "-s", str(SESSIONS), "-l", str(HTML_BYTES),
             "-m", str(messages), f"127.0.0.1:{port}"],
            check=True,
        )  # fmt: skip
        seconds = time.monotonic() - began
        own = _children_seconds() - before
    return {
        "messages/s": messages / seconds,
        "CPU of all, µs/message": (own + used["sink"]) / messages * 1e6,
    }


def _children_seconds() -> float:
    """Return the processor time of all processes that this one has waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
