"""Run every contender, interleaved, and print what each is worth beside its yardstick."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import django
from django.core.management import call_command

from tests.bench.sink import smtp_sink, smtp_source
from tests.rig.servers import postgres, redis

ROUNDS = 3
RESULTS = Path("var/bench.json")
PARAGRAPH = (
    "<p style='font-size:16px;line-height:1.5'>Dear {{.API.name}} of {{.API.city}}, this is a "
    "paragraph of the size that people write, and it goes on for a while. "
    "<a href='https://shop.example/offer/%d?code={{.API.code}}'>See the offer</a></p>\n"
)
MESSAGE_BYTES = 10_240


@dataclass(frozen=True)
class Ratio:
    """One line of the result: a figure, its yardstick in the same run, and what is asked."""

    name: str
    figure: float
    yardstick: float
    must: float
    stretch: float
    is_less_better: bool = False

    @property
    def value(self) -> float:
        """The figure in units of its yardstick."""
        return self.figure / self.yardstick

    @property
    def verdict(self) -> str:
        """How the ratio stands beside what is asked."""
        reaches = (lambda goal: self.value <= goal) if self.is_less_better else self.value.__ge__
        return "stretch" if reaches(self.stretch) else "must" if reaches(self.must) else "BELOW"


def main() -> int:
    """Measure, print, store; return 1 when a ratio is below what must be."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--messages", type=int, default=10_000, help="in each round (10,000)")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as directory,
        postgres(durable=True) as database,
        redis() as broker,
        smtp_sink() as sink_port,
    ):
        environment = _environment(directory, database, broker)
        os.environ.update(environment)
        django.setup()
        call_command("migrate", verbosity=0)
        figures = _measure(
            Path(directory), environment, sink_port=sink_port, messages=options.messages
        )
    ratios = _ratios(figures)
    _show(figures, ratios)
    _store(figures, ratios, messages=options.messages)
    return int(any(ratio.verdict == "BELOW" for ratio in ratios))


def _environment(directory: str, database: str, broker: str) -> dict[str, str]:
    names = ("SECRET_KEY", "API_KEY_HASH_KEY", "ENCRYPTION_KEYS", "SIGNING_KEYS")
    return {name: secrets.token_urlsafe(48) for name in names} | {
        "ENV_FILE": "",
        "DATA_DIR": directory,
        "DATABASE_URL": database,
        "REDIS_URL": broker,
        "PUBLIC_URL": "https://mail.example.com",
        "ALLOWED_HOSTS": "127.0.0.1",
        "DJANGO_SETTINGS_MODULE": "billionmail.settings",
    }


def _measure(
    directory: Path, environment: dict[str, str], *, sink_port: int, messages: int
) -> dict[str, list[float]]:
    """Return every figure of every round; the contenders take turns, after one warm-up round."""
    from tests.bench.fixtures import ready_key  # noqa: PLC0415 - needs Django to be set up
    from tests.bench.product import Product  # noqa: PLC0415

    secret = ready_key(html=_html(), sink_port=sink_port)
    product = Product(directory=directory, environment=environment, secret=secret)
    figures: dict[str, list[float]] = {}
    with product.web():
        contenders: dict[str, Callable[[], Any]] = {
            "smtp-source, messages/s": lambda: smtp_source(
                sink_port, messages=messages, message_bytes=MESSAGE_BYTES
            ),
            "delivery of a full queue, messages/s|its worker's CPU, µs/message": lambda: (
                product.deliver(messages)
            ),
            "batch API to hand-off, messages/s": lambda: product.end_to_end(messages),
            "empty view, requests/s|its p99, ms": lambda: product.load("/healthz"),
            "send endpoint, requests/s|its p99 in ms": lambda: product.load(
                "/api/batch_mail/api/send",
                body='{"recipient": "ann@recipient.example", "attribs": {"name": "Ann"}}',
            ),
            "batch endpoint, recipients/s": lambda: product.accept(messages),
        }
        for round_number in range(ROUNDS + 1):
            for names, contend in contenders.items():
                began = time.monotonic()
                outcome = contend()
                values = outcome if isinstance(outcome, tuple) else (outcome,)
                label = "warm-up" if round_number == 0 else f"round {round_number}/{ROUNDS}"
                shown = "  ".join(f"{value:,.0f}" for value in values)
                took = time.monotonic() - began
                print(f"{label:>10}  {names.split('|')[0]:45} {shown:>16}  ({took:.0f} s)")
                sys.stdout.flush()
                if round_number:
                    for name, value in zip(names.split("|"), values, strict=True):
                        figures.setdefault(name, []).append(value)
    return figures


def _html() -> str:
    """Return a mail of 10 kB with personal values and ten links."""
    links = "".join(PARAGRAPH % number for number in range(10))
    filler = "<!-- " + "x" * 70 + " -->\n"
    room = MESSAGE_BYTES - len(links) - 100
    return f"<html><body>\n{links}{filler * (room // len(filler))}</body></html>\n"


def _ratios(figures: dict[str, list[float]]) -> list[Ratio]:
    median = {name: statistics.median(values) for name, values in figures.items()}
    source = median["smtp-source, messages/s"]
    empty = median["empty view, requests/s"]
    return [
        Ratio(
            "full queue / smtp-source",
            median["delivery of a full queue, messages/s"],
            source,
            must=0.30,
            stretch=0.45,
        ),
        Ratio(
            "batch API to hand-off / smtp-source",
            median["batch API to hand-off, messages/s"],
            source,
            must=0.25,
            stretch=0.40,
        ),
        Ratio(
            "send endpoint / empty view",
            median["send endpoint, requests/s"],
            empty,
            must=0.25,
            stretch=0.45,
        ),
        Ratio(
            "send endpoint p99 / empty view p99",
            median["its p99 in ms"],
            median["its p99, ms"],
            must=5,
            stretch=2,
            is_less_better=True,
        ),
    ]


def _show(figures: dict[str, list[float]], ratios: list[Ratio]) -> None:
    print(f"\n{'median of ' + str(ROUNDS) + ' rounds':55} {'figure':>12}")
    for name, values in figures.items():
        print(f"{name:55} {statistics.median(values):12,.0f}")
    print(f"\n{'ratio':40} {'value':>8} {'must':>8} {'stretch':>8}")
    for ratio in ratios:
        print(
            f"{ratio.name:40} {ratio.value:8.2f} {ratio.must:8.2f} {ratio.stretch:8.2f}  "
            f"{ratio.verdict}"
        )
    print(f"\nStored in {RESULTS}")


def _store(figures: dict[str, list[float]], ratios: list[Ratio], *, messages: int) -> None:
    RESULTS.parent.mkdir(exist_ok=True)
    stored = {
        "measured_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "messages": messages,
        "rounds": ROUNDS,
        "figures": figures,
        "ratios": [
            asdict(ratio) | {"value": ratio.value, "verdict": ratio.verdict} for ratio in ratios
        ],
    }
    RESULTS.write_text(json.dumps(stored, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
