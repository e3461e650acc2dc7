#!/bin/sh
# Make sure that the servers which the tests start are installed; install them where we may.
# Arguments: further needs, each as program:package.
set -eu

missing=""
ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || command -v postgres >/dev/null 2>&1 || missing="$missing postgresql"
command -v redis-server >/dev/null 2>&1 || missing="$missing redis-server"
command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1 || missing="$missing chromium"
for need in "$@"; do
    command -v "${need%%:*}" >/dev/null 2>&1 || [ -x "/usr/sbin/${need%%:*}" ] || missing="$missing ${need#*:}"
done
[ -n "$missing" ] || exit 0

echo "Not installed yet:$missing"
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    # Debian starts a cluster of its own on installation; the tests use private ones.
    if [ -d /etc/postgresql-common ] || mkdir -p /etc/postgresql-common; then
        [ -f /etc/postgresql-common/createcluster.conf ] || echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
    fi
    export DEBIAN_FRONTEND=noninteractive
    echo "postfix postfix/main_mailer_type select No configuration" | debconf-set-selections
    apt-get update -qq
    # shellcheck disable=SC2086
    apt-get install -y -qq --no-install-recommends $missing >/dev/null
else
    echo "Install them with your system's package manager, for example:"
    echo "    sudo apt-get install --no-install-recommends$missing"
    exit 1
fi
