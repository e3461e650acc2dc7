"""Load a web server from many connections at once, with wrk."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.rig.servers import find

CONNECTIONS = 64
# Each of wrk's two threads numbers its own requests, so that no recipient comes twice.
SCRIPT = """
local threads = 0
function setup(thread)
   threads = threads + 1
   thread:set("number", threads)
end
local made = 0
function request()
   made = made + 1
   local recipient = "r" .. number .. "-" .. made .. "@recipient.example"
   local attribs = '{"name": "Ann ' .. made .. '", "city": "Lisbon", "code": "' .. made .. '"}'
   return wrk.format(
      "POST", nil, nil, '{"recipient": "' .. recipient .. '", "attribs": ' .. attribs .. '}')
end
"""


def get(url: str, *, seconds: float, directory: Path) -> dict[str, float]:
    """Ask again and again; return the rate and the latency that 99 of 100 stay below."""
    return _run(url, "", seconds=seconds, directory=directory)


def post_mails(
    url: str, *, headers: Mapping[str, str], seconds: float, directory: Path
) -> dict[str, float]:
    """Ask for one mail after the other, each for a recipient of its own."""
    lines = [f'wrk.headers["{name}"] = "{value}"' for name, value in headers.items()]
    lines += ['wrk.headers["Content-Type"] = "application/json"', SCRIPT]
    return _run(url, "\n".join(lines), seconds=seconds, directory=directory)


def _run(url: str, script: str, *, seconds: float, directory: Path) -> dict[str, float]:
    path = directory / "request.lua"
    path.write_text(script)
    printed = subprocess.run(
        [find("wrk"), "-t2", f"-c{CONNECTIONS}", f"-d{seconds:.0f}s", "--timeout", "30s",
         "--latency", "-s", path, url],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    if "Non-2xx" in printed:
        raise RuntimeError(f"Requests were refused:\n{printed}")
    return {
        "requests/s": float(_found(r"Requests/sec:\s+([\d.]+)", printed)),
        "p99, ms": _milliseconds(_found(r"99%\s+([\d.]+\w+)", printed)),
    }


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    if match is None:
        raise RuntimeError(f"wrk printed something else:\n{text}")
    return match[1]


def _milliseconds(text: str) -> float:
    for unit, factor in (("us", 0.001), ("ms", 1.0), ("s", 1000.0), ("m", 60_000.0)):
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * factor
    raise ValueError(text)
