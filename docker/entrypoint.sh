#!/bin/sh
# Start one role of BillionMail. A role ends in exec, so that the stop signal reaches it.
set -eu

usage() {
  cat >&2 <<'TEXT'
usage: entrypoint.sh ROLE [ARGUMENTS]
  web      serve the API, the dashboard and the tracking links (gunicorn)
  worker   deliver mail; run as many as you like (Celery worker)
  beat     ring the workers on schedule; run exactly one (Celery beat)
  reports  take in bounces and complaints by mail, on port 2526 (SMTP)
  migrate  bring the database up to date, then report what is unsafe
  manage   run a management command, for example: manage createsuperuser
TEXT
  exit 2
}

wait_for_database() {
  PYTHONPATH=. python docker/wait_for_database.py
}

[ $# -gt 0 ] || usage
role=$1
shift
cd "$(dirname "$0")/.."

case $role in
  web)
    # Not waiting for the database: pixels and links are answered without it, and /readyz says 503.
    exec gunicorn billionmail.wsgi -c billionmail/gunicorn.py "$@"
    ;;
  worker)
    wait_for_database
    exec celery -A billionmail worker --loglevel INFO "$@"
    ;;
  beat)
    # It only rings: it needs no database, and may forget its schedule.
    exec celery -A billionmail beat --schedule "${DATA_DIR:-var}/beat-schedule" \
      --loglevel INFO "$@"
    ;;
  reports)
    wait_for_database
    exec python manage.py receive_reports --host 0.0.0.0 "$@"
    ;;
  migrate)
    wait_for_database
    python manage.py migrate --noinput "$@"
    # Advice, not a gate: what must stop a start is an error of `migrate` itself.
    python manage.py check --deploy || true
    ;;
  manage)
    exec python manage.py "$@"
    ;;
  *)
    echo "entrypoint.sh: there is no role named '$role'." >&2
    usage
    ;;
esac
