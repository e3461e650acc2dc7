"""Give the tests of one process one web server, for it begins with making every table."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.billionmail.web import Web, web_server


@pytest.fixture(scope="session")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with web_server(tmp_path_factory.mktemp("web")) as running:
        yield running
