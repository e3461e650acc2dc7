"""Whoever counts is killed fifty times; every event is counted once nevertheless."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.faults.stage import Stage
from tests.processes import KEPT, ROOT

pytestmark = pytest.mark.integration

DEATHS = 50


def test_counts_agree_with_the_log_after_the_roller_was_killed_fifty_times(stage: Stage) -> None:
    seed = f"{os.environ['FAULT_SEED']}:roller"
    stage.clear(seed=seed, delay_ms=0)
    ran = subprocess.run(
        [sys.executable, "-m", "tests.faults.roller_deaths", seed, str(DEATHS)],
        cwd=ROOT,
        env={name: os.environ[name] for name in KEPT if name in os.environ}
        | {"ENV_FILE": ""}
        | stage.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told["writers_failed"] == [], ran.stderr
    assert told["differences"] == []
    assert told["uncounted"] == 0
    # It was about something: some died while they counted, some had counted before.
    assert told["messages"] > 100
    assert told["interrupted"] > 0
    assert told["counted_meanwhile"] > 0
