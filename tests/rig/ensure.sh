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
# Mail servers, of which Debian lets only one be installed: they are unpacked, and run from there.
# So is what UNPACK names, which would start by itself when it was installed.
servers="${MAIL_SERVERS_DIR:-/var/cache/billionmail-tests}"
absent=""
for package in postfix exim4-daemon-light opensmtpd ${UNPACK:-}; do
    [ -d "$servers/$package" ] || absent="$absent $package"
done
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    [ -z "$absent" ] || echo "Not tested without root and apt-get:$absent"
    absent=""
fi
[ -n "$missing$absent" ] || exit 0

# What cannot be had is left out: its tests are skipped then.
# shellcheck disable=SC2015,SC2086
unpack() {
    mkdir -p "$servers" && work="$(mktemp -d "$servers/unpacking-XXXXXX")" || return 1
    (cd "$work" && apt-get -o APT::Sandbox::User=root download -qq "$1") &&
        libraries="$(dpkg-deb -f "$work"/*.deb Depends | tr ',' '\n' | awk '$1 ~ /^lib/ { print $1 }')" &&
        apt-get install -y -qq --no-install-recommends $libraries >/dev/null &&
        dpkg-deb -x "$work"/*.deb "$work/root" &&
        mv -T "$work/root" "$servers/$1" ||
        echo "Not tested, for it cannot be had: $1"
    rm -r "$work"
}

echo "Not installed yet:$missing$absent"
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    # Debian starts a cluster of its own on installation; the tests use private ones.
    if [ -d /etc/postgresql-common ] || mkdir -p /etc/postgresql-common; then
        [ -f /etc/postgresql-common/createcluster.conf ] || echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
    fi
    export DEBIAN_FRONTEND=noninteractive
    echo "postfix postfix/main_mailer_type select No configuration" | debconf-set-selections
    apt-get update -qq || [ -z "$missing" ]
    # shellcheck disable=SC2086
    [ -z "$missing" ] || apt-get install -y -qq --no-install-recommends $missing >/dev/null
    for package in $absent; do
        unpack "$package"
    done
else
    echo "Install them with your system's package manager, for example:"
    echo "    sudo apt-get install --no-install-recommends$missing"
    exit 1
fi
