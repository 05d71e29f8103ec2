#!/usr/bin/env bash
# Installs the real servers that the acceptance tests talk to. Safe to run again: what is there is left alone.
# Tests start their own instances, so no daemon of these packages is started.
set -euo pipefail

case "${1-}" in
  '') ;;
  -h | --help)
    cat <<'USAGE'
npm run setup:servers

Installs the Debian packages of the real servers that the acceptance tests talk to, and ChromaDB into test/servers.
It takes no options, starts no daemon, and leaves alone what is there. Without root it asks sudo.

Example:
  npm run setup:servers && npm test
USAGE
    exit 0
    ;;
  *)
    printf "Unknown option '%s'.\nTo see how it is called, add --help.\n" "$1" >&2
    exit 2
    ;;
esac

packages=(
  prometheus prometheus-alertmanager # metrics, alerts, promtool
  redis-server
  postgresql # with pg_dump and pg_restore
  openssh-server openssl
  podman runc busybox-static # a container engine with a Docker-compatible socket, and an image made without a registry
  faketime                   # clock jumps
  chromium fonts-dejavu-core # the console, as a person sees it
  procps util-linux          # ps, prlimit, setpriv
)

# ChromaDB comes as an npm package.
servers="$(dirname "$0")/../test/servers"
if [[ ! "$servers/node_modules/.package-lock.json" -nt "$servers/package-lock.json" ]]; then
  echo "Installing ChromaDB into test/servers."
  npm ci --prefix "$servers" --no-audit --no-fund --loglevel=error
fi

missing=()
for package in "${packages[@]}"; do
  dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
done
if ((${#missing[@]} == 0)); then
  echo "All servers are installed."
  exit 0
fi

as_root=()
if ((EUID != 0)); then as_root=(sudo); fi

# Debian asks this file before it starts a daemon that was just installed; 101 says no.
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
  "${as_root[@]}" chmod +x "$policy"
  trap '"${as_root[@]}" rm -f "$policy"' EXIT
fi

echo "Installing: ${missing[*]}"
"${as_root[@]}" apt-get update -q
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
