#!/bin/sh
# Write this installation's settings into a copy of the configuration, then become Postfix.
set -eu

config=${RELAY_CONFIG_DIR:-/run/postfix}
hostname=${MAIL_HOSTNAME:?set it to the name that the reverse DNS of this host answers}
clients=${RELAY_CLIENTS:?set it to the network of the containers that may send, as in 172.30.25.0/24}
tls=${RELAY_TLS_LEVEL:-may}

fail() {
  echo "start-relay: $1" >&2
  exit 1
}

case $hostname in
  *.*) ;;
  *) fail "MAIL_HOSTNAME is '$hostname'; it must be a full name such as mail.example.com." ;;
esac
case " $clients " in
  *"/0 "* | *"/0,"*) fail "RELAY_CLIENTS is '$clients': that would be an open relay." ;;
esac
case $tls in
  may | encrypt | dane | verify | secure) ;;
  *) fail "RELAY_TLS_LEVEL is '$tls'; it must be may, encrypt, dane, verify or secure." ;;
esac

mkdir -p "$config"
cp /etc/postfix/*.cf "$config/"
postconf -c "$config" -e "myhostname=$hostname" "mynetworks=$clients" \
  "smtp_tls_security_level=$tls"
exec postfix -c "$config" start-fg
