"""Find out whether recipients can reach the pixel, by fetching it as they do."""

from __future__ import annotations

import logging
import threading
import time

import requests
from django.db import Error, connection
from django.urls import reverse

from sending.models import SenderDomain
from tracking.hits import GIF
from tracking.links import base_url

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 5
DELAYS_SECONDS = (2, 10, 30)  # after a start; a front may come up later than we do
TOKEN = "check"  # noqa: S105 - no token: the pixel answers all the same, and nothing is counted


def problem_of(url: str) -> str:
    """Return why the pixel cannot be had under this address; empty when it can."""
    address = url + reverse("pixel", args=[TOKEN])
    try:
        answer = requests.get(address, timeout=TIMEOUT_SECONDS)
    except requests.RequestException as error:
        return f"{address} cannot be fetched from this machine: {error}"
    if answer.status_code != requests.codes.ok or answer.content != GIF:
        return f"{address} answers {answer.status_code}, and not with our picture."
    return ""


def addresses() -> dict[str, str]:
    """Return where tracked links may lead, each with whose name it is."""
    found = {base_url(""): "PUBLIC_URL"}
    for domain in SenderDomain.objects.exclude(tracking_domain="").order_by("domain"):
        found.setdefault(base_url(domain.tracking_domain), f"tracking domain of {domain}")
    return found


def look_soon() -> None:
    """Look in a moment, in a thread of its own, and log what is wrong; never fails."""
    threading.Thread(target=_look, name="reach", daemon=True).start()


def _look() -> None:
    problems: dict[str, str] = {}
    try:
        for delay in DELAYS_SECONDS:
            time.sleep(delay)
            problems = {whose: problem_of(url) for url, whose in addresses().items()}
            if not any(problems.values()):
                return
    except Error as error:
        log.warning("Whether tracked links can be reached is not known: %s", error)
        return
    finally:
        connection.close()
    for whose, problem in problems.items():
        if problem:
            log.warning(
                "Tracked links may not work (%s): %s Correct it, or ignore this if this machine "
                "alone cannot reach it; `manage.py check_tracking` looks again.", whose, problem
            )  # fmt: skip
