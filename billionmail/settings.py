"""Configure BillionMail from the environment; `.env.example` explains every variable.

Nothing secret has a default. What is missing or unsafe is reported by the system checks of
each app (`manage.py check`), with an id; what cannot be read at all is an ImproperlyConfigured
that names the variable.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

from billionmail.appearance import UNFOLD as UNFOLD

BASE_DIR = Path(__file__).resolve().parent.parent


class Env(environ.Env):
    """Name the variable whose value cannot be read."""

    def get_value(self, var: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the value of `var`; raise ImproperlyConfigured when it is of another kind."""
        try:
            return super().get_value(var, *args, **kwargs)
        except ValueError as error:
            raise ImproperlyConfigured(f"{var} cannot be read: {error}.") from None


env = Env()
ENV_FILE = env.str("ENV_FILE", default=str(BASE_DIR / ".env"))
if ENV_FILE and Path(ENV_FILE).is_file():
    env.read_env(ENV_FILE)

DATA_DIR = Path(env.str("DATA_DIR", default=str(BASE_DIR / "var"))).resolve()
# `make run` generates what a trial installation needs into this file on its first start.
GENERATED_ENV_FILE = DATA_DIR / "generated.env"
if GENERATED_ENV_FILE.is_file():
    env.read_env(str(GENERATED_ENV_FILE))

# --- Secrets ------------------------------------------------------------------------------

SECRET_KEY = env.str("SECRET_KEY", default="")
API_KEY_HASH_KEY = env.str("API_KEY_HASH_KEY", default="")
ENCRYPTION_KEYS: list[str] = env.list("ENCRYPTION_KEYS", default=[])
SIGNING_KEYS: list[str] = env.list("SIGNING_KEYS", default=[])

# --- Where we are -------------------------------------------------------------------------

DEBUG = env.bool("DEBUG", default=False)
PUBLIC_URL = env.str("PUBLIC_URL", default="http://127.0.0.1:8000").rstrip("/")
ALLOWED_HOSTS: list[str] = env.list(
    "ALLOWED_HOSTS", default=[urlsplit(PUBLIC_URL).hostname or "localhost", "localhost"]
)
TRUSTED_PROXY_COUNT = env.int("TRUSTED_PROXY_COUNT", default=0)
EHLO_NAME = env.str("EHLO_NAME", default="")

# --- Applications -------------------------------------------------------------------------

INSTALLED_APPS = [
    "billionmail.apps.BillionMailConfig",  # before what it has other templates for
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "anymail",
    "apikeys",
    "sending",
    "tracking",
    "unsubscribe",
    "stats",
    "hygiene",
    "guard",
]

# A domain whose mail reaches this installation: an address there unsubscribes too (RFC 2369).
UNSUBSCRIBE_MAILTO_DOMAIN = env.str("UNSUBSCRIBE_MAILTO_DOMAIN", default="")

# What is added to every mail on its way out, in this order.
MESSAGE_STEPS = [
    "unsubscribe.headers.add_list_unsubscribe",
    "tracking.links.add_tracking",
]

# Who knows more about the events of a message than the log says, for the pages that show them.
EVENT_NOTES = ["tracking.admin.notes.notes_on_visits"]

# Who keeps more of the recipient of a message than its row says, to be told and forgotten.
PERSONAL_DATA = [
    "tracking.personal.hits",
    "unsubscribe.personal.unsubscribes",
    "stats.personal.counts",
]
# Tables in whose texts (or in one of which) somebody may be named in passing: they are searched.
PERSONAL_TEXTS = [
    "admin.LogEntry", "guard.Alert", "guard.AlertNotice", "hygiene.Finding", "hygiene.Line",
    "hygiene.Run", "sending.Attempt", "sending.Event",
    "sending.LiftedSuppression", "sending.Message", "sending.ReportedBounce",
    "sending.Route:down_reason", "sending.Route:paused_reason", "sending.SenderBlock",
    "sending.SlowDown", "sending.StoredAnswer", "sending.Suppression",
]  # fmt: skip

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "billionmail.middleware.NoNul",
    "billionmail.middleware.Sessions",
    "billionmail.middleware.Common",
    "billionmail.middleware.CsrfTokens",
    "billionmail.middleware.Logins",
    "billionmail.middleware.SecondFactor",
    "billionmail.middleware.Messages",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "billionmail.urls"
WSGI_APPLICATION = "billionmail.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- Database -----------------------------------------------------------------------------

DATABASES = {
    "default": env.db_url("DATABASE_URL", default=f"sqlite:///{DATA_DIR / 'billionmail.sqlite3'}")
}
if not DATABASES["default"].get("ENGINE"):
    # The value is not shown, for it may hold a password.
    raise ImproperlyConfigured(
        "DATABASE_URL is not an address such as postgres://user:password@host/database."
    )
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = {
        # A transaction that will write takes its lock at BEGIN: it can wait, but never fail late.
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        # FULL: an accepted message survives a power cut, as the API promises.
        "init_command": "PRAGMA journal_mode=WAL;PRAGMA synchronous=FULL;",
    }
    DATABASES["default"].setdefault("TEST", {})["NAME"] = str(DATA_DIR / "test.sqlite3")
else:
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
    DATABASES["default"].setdefault("OPTIONS", {}).update(
        # A server that froze or lost its network becomes an error within half a minute, and so
        # a 503, instead of threads that wait for ever.
        connect_timeout=5,
        keepalives=1,
        keepalives_idle=30,
        keepalives_interval=10,
        keepalives_count=3,
        tcp_user_timeout=30_000,  # milliseconds
    )
    # Django's default keeps psycopg from preparing anything, even where it is asked to.
    if env.bool("PREPARE_STATEMENTS", default=True):
        DATABASES["default"]["OPTIONS"].setdefault("prepare_threshold", 5)
DATABASES["default"]["CONN_MAX_AGE"] = 600

# --- Queue --------------------------------------------------------------------------------
# The database is the queue of record; a Celery message is only a doorbell that may be lost.

REDIS_URL = env.str("REDIS_URL", default="")
CELERY_BROKER_URL = REDIS_URL or "memory://localhost/"
CELERY_BROKER_TRANSPORT_OPTIONS = (
    {"socket_timeout": 5, "socket_connect_timeout": 2, "socket_keepalive": True}
    if REDIS_URL
    else {"polling_interval": 0.02}  # seconds; the default of one second is felt by people
)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_TASK_DEFAULT_QUEUE = "billionmail"
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_POOL = "threads"
CELERY_WORKER_CONCURRENCY = 2
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
# Celery closes the database connection around every task unless it is told to keep it.
CELERY_DB_REUSE_MAX = 100_000
CELERY_BEAT_SCHEDULE = {
    "deliver-due": {
        "task": "sending.deliver",
        # Each worker's deliverer looks every SWEEP_SECONDS; this is for a pool that forks.
        "schedule": 30.0,
        "options": {"expires": 10},
    },
    # Each worker does it every hour; this is for a pool that forks.
    "truncate-ips": {"task": "tracking.truncate_ips", "schedule": 3600.0},
    "forget-old-places": {"task": "sending.forget_old_places", "schedule": 3600.0},
    # As the first one: each worker counts twice a second.
    "roll-stats": {"task": "stats.roll", "schedule": 30.0, "options": {"expires": 10}},
    # Each worker does it every minute; this is for a pool that forks.
    "look-for-the-abnormal": {"task": "guard.look", "schedule": 60.0, "options": {"expires": 50}},
    # Each worker goes on with it by itself; these are for a pool that forks.
    "clean-lists": {"task": "hygiene.clean", "schedule": 30.0, "options": {"expires": 20}},
    "forget-cleaned": {"task": "hygiene.forget_old", "schedule": 3600.0},
}

# --- Delivery -----------------------------------------------------------------------------

LEASE_SECONDS = env.int("LEASE_SECONDS", default=60)
SWEEP_SECONDS = env.float("SWEEP_SECONDS", default=1.0)
QUEUE_LIFETIME_HOURS = env.int("QUEUE_LIFETIME_HOURS", default=24)
# So many bulk mails to one recipient in 24 hours and in 7 days, if a key has no numbers of its own;
# 0: any number.
BULK_CAP_PER_DAY = env.int("BULK_CAP_PER_DAY", default=0)
BULK_CAP_PER_WEEK = env.int("BULK_CAP_PER_WEEK", default=0)
# While Redis is away, each worker takes this part of every limit.
PACING_ASSUMED_WORKERS = env.int("PACING_ASSUMED_WORKERS", default=4)
# How long limits are remembered by a worker; a change takes effect after that.
PACING_RECENT_SECONDS = 1.0
# Ask the DNS who receives the mail of a domain, when a limit is about a provider, and each day
# whether the records of the sender domains are there.
MX_LOOKUPS = env.bool("MX_LOOKUPS", default=True)
# Django's e-mail backends, if a route uses one, would otherwise wait for a silent server for ever.
EMAIL_TIMEOUT = 60

# --- Tracking -----------------------------------------------------------------------------

# A MaxMind file (GeoLite2-Country.mmdb or a larger one) that tells the country of an address.
GEOIP_FILE = env.str("GEOIP_FILE", default="")
# After so many days the address of who opened or clicked is shortened to its network.
IP_DAYS = env.int("IP_DAYS", default=30)

# --- Reports on mail that has left ---------------------------------------------------------

# Besides the signed return-paths: where complaints and bounces come by mail.
REPORT_ADDRESSES: list[str] = env.list("REPORT_ADDRESSES", default=[])
# What else is done with mail to addresses of later apps (tracking/addressees.py).
REPORT_HANDLERS = ["unsubscribe.receivers.unsubscribe_mail"]
# POST /hooks/reports takes raw reports from whoever knows one of these; the first is to be used.
REPORT_INTAKE = env.bool("REPORT_INTAKE", default=False)
REPORT_INTAKE_SECRETS: list[str] = env.list("REPORT_INTAKE_SECRETS", default=[])

# Providers whose webhooks are answered at /hooks/NAME/, and how they show that it is them.
WEBHOOKS: list[str] = env.list("WEBHOOKS", default=[])
ANYMAIL: dict[str, Any] = {
    "WEBHOOK_SECRET": env.list("WEBHOOK_SECRETS", default=[]),
    "MAILERSEND_SIGNING_SECRET": env.str("MAILERSEND_SIGNING_SECRET", default=""),
    "MAILGUN_WEBHOOK_SIGNING_KEY": env.str("MAILGUN_WEBHOOK_SIGNING_KEY", default=""),
    "MAILTRAP_SIGNING_SECRET": env.str("MAILTRAP_SIGNING_SECRET", default=""),
    "MANDRILL_WEBHOOK_KEY": env.str("MANDRILL_WEBHOOK_KEY", default=""),
    "POSTAL_WEBHOOK_KEY": env.str("POSTAL_WEBHOOK_KEY", default=""),
    "RESEND_SIGNING_SECRET": env.str("RESEND_SIGNING_SECRET", default=""),
    "SENDGRID_TRACKING_WEBHOOK_VERIFICATION_KEY": env.str(
        "SENDGRID_TRACKING_WEBHOOK_VERIFICATION_KEY", default=""
    ),
    "UNISENDER_GO_API_KEY": env.str("UNISENDER_GO_API_KEY", default=""),
}
# To anymail an empty key is a key.
ANYMAIL = {name: value for name, value in ANYMAIL.items() if value}

# Mail to this domain never leaves: its addresses play an outcome each (tracking/simulator.py).
SIMULATOR_DOMAIN = env.str("SIMULATOR_DOMAIN", default="").strip().lower()
SIMULATOR_OUTCOMES = "tracking.simulator.play"
# How the addresses of the pixel and of tracked links begin.
TRACKED_PATHS = "/t/"

# --- Abnormal access ----------------------------------------------------------------------

# A key is paused when so much of what it sent within the hours bounced for good or was complained
# of, in per cent, once it sent so many messages.
KEY_PAUSE_BOUNCED_PERCENT = env.float("KEY_PAUSE_BOUNCED_PERCENT", default=5.0)
KEY_PAUSE_COMPLAINED_PERCENT = env.float("KEY_PAUSE_COMPLAINED_PERCENT", default=0.3)
KEY_PAUSE_MIN_MESSAGES = env.int("KEY_PAUSE_MIN_MESSAGES", default=500)
KEY_PAUSE_HOURS = env.int("KEY_PAUSE_HOURS", default=24)
# So many refused requests of one key, or of none, in ten minutes are an alert.
REFUSALS_ALERT = env.int("REFUSALS_ALERT", default=100)
# How long it is known who was refused.
REFUSED_ACCESS_DAYS = env.int("REFUSED_ACCESS_DAYS", default=30)

# --- Clean lists ---------------------------------------------------------------------------

# The name server that is asked about the domains of a list, such as 127.0.0.1:5353; empty: those
# of this machine.
CLEAN_LIST_DNS_SERVER = env.str("CLEAN_LIST_DNS_SERVER", default="")

# --- HTTP API -----------------------------------------------------------------------------

# How long a key and what it sends are remembered; a change takes effect within a second.
RECENT_SECONDS = 0.5
LEGACY_HTTP_200 = env.bool("LEGACY_HTTP_200", default=False)
# Whether everybody needs a one-time password besides the password. Who likes may have one anyway.
REQUIRE_SECOND_FACTOR = env.bool("REQUIRE_SECOND_FACTOR", default=False)
FAILED_AUTH_PER_MINUTE = env.int("FAILED_AUTH_PER_MINUTE", default=30)
# How long a caller may take to send one request; a thread waits for it meanwhile.
REQUEST_READ_SECONDS = env.float("REQUEST_READ_SECONDS", default=10.0)
DATA_UPLOAD_MAX_MEMORY_SIZE = 4 * 1024 * 1024  # a ceiling; every API view has its own limit
# Where a view reads more than that: whole mails.
LARGE_BODIES = {"/hooks/reports": 32 * 1024 * 1024}
REST_FRAMEWORK = {
    "EXCEPTION_HANDLER": "billionmail.api.exception_handler",
    "DEFAULT_PARSER_CLASSES": ["billionmail.api.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "billionmail.api.JSONOnly",
    # OPTIONS is a method like another, and not allowed.
    "DEFAULT_METADATA_CLASS": None,
    # A view that forgets to say who may call it answers nobody.
    "DEFAULT_AUTHENTICATION_CLASSES": ["apikeys.authentication.ApiKeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["apikeys.permissions.AddressAllowed"],
    "UNAUTHENTICATED_USER": None,
}

# --- People -------------------------------------------------------------------------------

AUTHENTICATION_BACKENDS = ["guard.people.People"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "/admin/login/"
LOGIN_REDIRECT_URL = "/admin/"
SESSION_COOKIE_AGE = 12 * 60 * 60
SESSION_COOKIE_HTTPONLY = True
CSRF_COOKIE_HTTPONLY = True
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
IS_HTTPS = PUBLIC_URL.startswith("https://")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = IS_HTTPS
SECURE_HSTS_SECONDS = env.int("HSTS_SECONDS", default=31_536_000 if IS_HTTPS else 0)
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = False
SECURE_PROXY_SSL_HEADER = (
    ("HTTP_X_FORWARDED_PROTO", "https") if IS_HTTPS and TRUSTED_PROXY_COUNT else None
)
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]
SILENCED_SYSTEM_CHECKS = [
    "security.W003",  # it looks for Django's own name; billionmail.middleware has it for people
    "security.W005",  # what sub-domains do is not ours to promise
    "security.W008",  # the TLS front redirects; the health checks of the host use plain HTTP
    "security.W021",  # as W005
]

# --- Language, time, files ----------------------------------------------------------------

LANGUAGE_CODE = "en"
# Of the pages that recipients see; the dashboard is in English.
LANGUAGES = [("en", "English"), ("zh-hans", "Chinese")]
TIME_ZONE = env.str("DASHBOARD_TIME_ZONE", default="UTC")
USE_I18N = True
USE_TZ = True
FORMAT_MODULE_PATH = ["billionmail.formats"]
STATIC_URL = "/static/"
# Empty: style sheets and scripts are served from where the packages keep them.
STATIC_ROOT = env.str("STATIC_ROOT", default="") or None
WHITENOISE_USE_FINDERS = STATIC_ROOT is None

# A local mail catcher for trying out and development; never for the internet.
MAIL_CATCHER = env.bool("MAIL_CATCHER", default=False)
MAIL_CATCHER_PORT = env.int("MAIL_CATCHER_PORT", default=0)

# --- Logs ---------------------------------------------------------------------------------

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "()": "billionmail.logs.WithoutAddresses",
            "format": "%(asctime)s %(levelname)s %(name)s %(message)s",
        }
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": env.str("LOG_LEVEL", default="INFO")},
    "loggers": {
        # A refused request is an answer, not an incident.
        "django.request": {"level": "ERROR"},
        # aiosmtpd tells every command of every session.
        "mail.log": {"level": "WARNING"},
        # The bell rings up to twenty times a second, and each ring says nothing.
        "celery.worker.strategy": {"level": "WARNING"},
        "celery.app.trace": {"level": "WARNING"},
    },
}
