#!/usr/bin/env bash
# Installs the Debian packages that the tests use and that are missing, when
# run as root on Debian; elsewhere it names the missing packages and goes on, and
# the tests that need them are skipped and counted.
set -euo pipefail

# A command or file that shows the package is there, and the package.
needs=(
	gcc:gcc
	/usr/include/stdio.h:libc6-dev
	make:make
	git:git
	busybox:busybox-static
	/usr/bin/redis-server:redis-server
	/usr/bin/redis-cli:redis-tools
	/usr/sbin/nginx:nginx-light
	/usr/bin/python3:python3
	/usr/bin/sqlite3:sqlite3
	/usr/include/sqlite3.h:libsqlite3-dev
	ip:iproute2
	curl:curl
	wrk:wrk
	/usr/sbin/dockerd:docker.io
	containerd:containerd
	podman:podman
	/usr/sbin/iptables:iptables
	/usr/libexec/podman/catatonit:catatonit
	/usr/lib/cni/bridge:containernetworking-plugins
	/usr/lib/cni/dnsname:golang-github-containernetworking-plugin-dnsname
	criu:criu
)

missing=()
for need in "${needs[@]}"; do
	sign=${need%%:*} package=${need#*:}
	command -v "$sign" >/dev/null || [ -e "$sign" ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
	echo "missing, tests that need them are skipped: ${missing[*]}" >&2
	exit 0
fi

# Packages such as redis-server start a service when they are installed. This
# keeps them from doing so, and is taken away again.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	trap 'rm -f "$policy"' EXIT
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt_get() { apt-get -q -y -o DPkg::Lock::Timeout=300 "$@" >/dev/null; }
apt_get update || echo "package lists not updated, trying with the old ones" >&2
apt_get install --no-install-recommends "${missing[@]}"
echo "installed: ${missing[*]}" >&2
