"""Configure the tests: the real settings, with nothing of this machine's environment in them."""

import os
import tempfile

TEMPORARY = tempfile.mkdtemp(prefix="billionmail-tests-")
os.environ.update(
    {
        "ENV_FILE": "",
        "DATA_DIR": TEMPORARY,
        "SECRET_KEY": "tests-only-" + "s" * 40,
        "API_KEY_HASH_KEY": "tests-only-" + "h" * 40,
        "ENCRYPTION_KEYS": "tests-only-" + "e" * 40,
        "SIGNING_KEYS": "tests-only-" + "g" * 40,
        "PUBLIC_URL": "http://testserver",
        "DATABASE_URL": os.environ.get("TEST_DATABASE_URL", f"sqlite:///{TEMPORARY}/db.sqlite3"),
        "REDIS_URL": "",
        "LOG_LEVEL": "WARNING",
        "MAIL_CATCHER": "true",
        "SIMULATOR_DOMAIN": "simulator.example",
    }
)

from billionmail.settings import *  # noqa: E402, F403

# People's passwords are made to be slow; tests log in a hundred times.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# A test that changes a key sees it at once; tests/apikeys/test_recent.py is about the delay.
RECENT_SECONDS = 0
# A test that sets a limit sees it at once, and nothing asks the name servers of this machine.
PACING_RECENT_SECONDS = 0
MX_LOOKUPS = False
# Each test client builds the middleware anew: WhiteNoise is not to list all files for each of them.
WHITENOISE_AUTOREFRESH = True
