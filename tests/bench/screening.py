"""Measure how long it takes to decide about addresses beside N standing orders.

    python -m tests.bench.screening --rows 1000000

starts a PostgreSQL of its own and prints medians: of the decision by itself, and of acceptance.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from tests.processes import ROOT
from tests.rig.servers import postgres


def main() -> int:
    """Run the questions in a process that knows the database from its start."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.screening", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000, help="standing orders (100,000)")
    script = f"from tests.bench.decisions import run; run(rows={parser.parse_args().rows})"
    with postgres() as url:
        environment = os.environ | {
            "TEST_DATABASE_URL": url,
            "DJANGO_SETTINGS_MODULE": "tests.settings",
        }
        for arguments in (["migrate", "--verbosity", "0"], ["shell", "-v", "0", "-c", script]):
            command = [sys.executable, "manage.py", *arguments]
            if code := subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode:
                return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
