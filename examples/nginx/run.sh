#!/usr/bin/env bash
# Runs nginx.conf as it stands beside this script, with rtmetrics from this checkout. See --help.
set -uo pipefail

usage()
{
    cat <<'TEXT'
usage: examples/nginx/run.sh [--port N]

Serves /metrics of the Lua in nginx, on 127.0.0.1.

For whoever runs Lua inside nginx: nginx.conf beside this script is the configuration to take from.
nginx stays in the foreground with two workers, tells what it does on stderr, and keeps its files
in a directory that is removed at the end. Needs Debian's nginx and libnginx-mod-http-lua, and
rtmetrics made for nginx's Lua: make LUA=luajit

  --port N  the port (default 8080)
  --help    this text

Try: curl http://127.0.0.1:8080/metrics
TEXT
}

fail()
{
    echo "run.sh: $1" >&2
    exit "${2:-1}"
}

port=8080
while [ $# -gt 0 ]; do
    case $1 in
        --help)
            usage
            exit
            ;;
        --port)
            port=${2:-}
            [[ $port =~ ^[1-9][0-9]{0,4}$ ]] || fail "--port wants a number from 1 to 65535" 2
            shift 2
            ;;
        *) fail "there is no option '$1'; see --help" 2 ;;
    esac
done

here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..
PATH=$PATH:/usr/sbin # where Debian keeps it, and not all users look
command -v nginx >/dev/null ||
    fail "nginx is missing (Debian: apt-get install nginx libnginx-mod-http-lua)"
[ -e /usr/lib/nginx/modules/ngx_http_lua_module.so ] ||
    fail "nginx's Lua is missing (Debian: apt-get install libnginx-mod-http-lua)"
[ -e "$root/build/luajit/lib/rtmetrics/core.so" ] ||
    fail "rtmetrics is not built: make LUA=luajit"
eval "$(make -s -C "$root" env LUA=luajit)"

prefix=$(mktemp -d "${TMPDIR:-/tmp}/rtmetrics-nginx-XXXXXX") ||
    fail "there is no place for temporary files"
trap 'rm -rf "$prefix"' EXIT
sed "s/127\.0\.0\.1:8080/127.0.0.1:$port/" "$here/nginx.conf" >"$prefix/nginx.conf"

# Started by root, nginx would give its workers to a user who may not be able to read this checkout.
as=
[ "$(id -u)" -ne 0 ] || as="user root root;"

nginx -p "$prefix" -c nginx.conf -g "$as" &
server=$!
trap 'kill -TERM "$server" 2>/dev/null' INT TERM HUP
echo "metrics at http://127.0.0.1:$port/metrics (Ctrl-C ends, kill -HUP $server reloads)"
wait "$server"
status=$?
# A signal ends the wait, not yet nginx.
while kill -0 "$server" 2>/dev/null; do
    wait "$server"
    status=$?
done
exit "$status"
