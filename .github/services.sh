#!/bin/sh
# Starts what tests expect of a machine with CI=true: a PostgreSQL that trusts this machine, and a Redis.
set -eu
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq postgresql redis-server > /dev/null
sed -i 's/scram-sha-256/trust/' /etc/postgresql/*/main/pg_hba.conf
service postgresql start
redis-server --daemonize yes --bind 127.0.0.1 --save '' > /dev/null
