#!/usr/bin/env bash
# Installs what the tests start that no crate brings: Docker's registry, in which strategies are shared.
set -euo pipefail
command -v docker-registry > /dev/null && exit 0
if ! command -v apt-get > /dev/null; then
  echo "docker-registry is not on the PATH; its source is github.com/distribution/distribution" >&2
  exit 1
fi
as_root=()
[ "$(id -u)" = 0 ] || as_root=(sudo)
install() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends docker-registry; }
# The lists of packages may be old, or not be there yet.
install || { "${as_root[@]}" apt-get update -q && install; }
