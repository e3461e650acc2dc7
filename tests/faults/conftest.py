"""Give the tests of faults one stage for each test process, and a seed that can be told again."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator

import pytest

from tests.faults.injections import BY_NAME
from tests.faults.rounds import explain, play
from tests.faults.stage import Stage, stage

SEED = "FAULT_SEED"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", default="", help="replay the faults of a run that printed this seed")


def pytest_configure(config: pytest.Config) -> None:
    """Choose one seed for all test processes: those that are started later inherit it."""
    os.environ[SEED] = (
        config.getoption("--seed", default="")
        or os.environ.get(SEED)
        or str(secrets.randbelow(1_000_000))
    )


def pytest_report_header() -> str:
    return f"seed of the faults: {os.environ[SEED]}"


@pytest.fixture(scope="session", name="stage")
def running_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage(tmp_path_factory.mktemp("stage")) as running:
        yield running


@pytest.fixture
def survive(stage: Stage) -> Callable[[str], None]:
    """Play a round of the fault that is named; fail with every promise that was broken."""

    def survive(name: str) -> None:
        outcome = play(stage, BY_NAME[name], seed=f"{os.environ[SEED]}:{name}")
        assert not outcome.verdict.faults, explain(outcome)

    return survive
