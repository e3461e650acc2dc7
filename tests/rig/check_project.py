"""Check what no linter does: migrations are complete, the configuration is fit to deploy."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile

ENVIRONMENT = {
    "ENV_FILE": "",
    "PUBLIC_URL": "https://mail.example.com",
    "REDIS_URL": "redis://localhost/0",
} | {
    name: secrets.token_urlsafe(48)
    for name in ("SECRET_KEY", "API_KEY_HASH_KEY", "ENCRYPTION_KEYS", "SIGNING_KEYS")
}
COMMANDS = (
    ["makemigrations", "--check", "--dry-run"],
    ["check", "--deploy", "--fail-level", "WARNING"],
)


def main() -> int:
    """Return 0 when every command is content."""
    with tempfile.TemporaryDirectory() as directory:
        environment = os.environ | ENVIRONMENT | {"DATA_DIR": directory}
        return max(
            subprocess.run(
                [sys.executable, "manage.py", *command], env=environment, check=False
            ).returncode
            for command in COMMANDS
        )


if __name__ == "__main__":
    sys.exit(main())
