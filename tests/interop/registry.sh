#!/usr/bin/env bash
# Lets other tools fetch, push, sign and verify what sc-host does in a registry, and sc-host what they do: `wkg`
# and the crates behind it (components), oras' own library for Python (any artifact), and sigstore's crate
# (cosign's signatures and encrypted keys). Builds and installs them the first time, under target/; the
# registry is Docker's own.
#
#   usage:  tests/interop/registry.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
tests/needs.sh
tools=$PWD/target/interop-tools
cargo build --release --quiet
cargo build --release --quiet --locked --manifest-path tests/interop/registry/Cargo.toml --target-dir "$tools/target"
[ -x "$tools/bin/wkg" ] || cargo install wkg --version 0.16.1 --locked --quiet --root "$tools" --target-dir "$tools/target"
[ -x "$tools/oras/bin/python" ] || python3 -m venv "$tools/oras"
"$tools/oras/bin/pip" install -q --disable-pip-version-check oras==0.2.43

work=$(mktemp -d)
trap 'kill "$registry" 2> /dev/null || true; rm -rf "$work"' EXIT
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
host=localhost:$port
cat > "$work/config.yml" <<END
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $work/data}}
http: {addr: "127.0.0.1:$port"}
END
docker-registry serve "$work/config.yml" > "$work/log" 2>&1 &
registry=$!
until (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null; do sleep 0.1; done

export XDG_CACHE_HOME=$work/cache COSIGN_PASSWORD='a password'
component=$PWD/plugins/margin.wasm script=$PWD/scripts/margin.rhai
sc_host() { "$OLDPWD/target/release/sc-host" "$@"; }
other() { "$tools/target/release/other-registry-tools" "$@"; }
oras_pull() {
  "$tools/oras/bin/python" - "$1" "$2" <<'END'
import sys
import oras.client
oras.client.OrasClient(insecure=True).pull(target=sys.argv[1], outdir=sys.argv[2])
END
}
oras_push() {
  "$tools/oras/bin/python" - "$1" "$2" "$3" <<'END'
import sys
import oras.client
client = oras.client.OrasClient(insecure=True)
client.push(target=sys.argv[1], files=[f"{sys.argv[2]}:{sys.argv[3]}"], disable_path_validation=True)
END
}
refused() {
  if "$@" > /dev/null 2>&1; then
    echo "not refused: $*" >&2
    exit 1
  fi
}
said() { printf 'ok  %s\n' "$*"; }
cd "$work"

sc_host strategy push "$component" "$host/ours/margin:1" > /dev/null
sc_host strategy push "$script" "$host/ours/script:1" > /dev/null
"$tools/bin/wkg" oci pull --insecure "$host" "$host/ours/margin:1" -o by-wkg.wasm > /dev/null
cmp by-wkg.wasm "$component"; said "wkg pulls our component"
other pull "$host/ours/margin:1" by-crate.wasm
cmp by-crate.wasm "$component"; said "oci-wasm pulls our component, and reads its configuration"
oras_pull "$host/ours/margin:1" by-oras > /dev/null
cmp by-oras/margin.wasm "$component"; said "oras pulls our component"
oras_pull "$host/ours/script:1" by-oras > /dev/null
cmp by-oras/margin.rhai "$script"; said "oras pulls our script"

"$tools/bin/wkg" oci push --insecure "$host" "$host/theirs/wkg:1" "$component" > /dev/null
other push "$component" "$host/theirs/crate:1"
oras_push "$host/theirs/oras:1" "$component" application/wasm > /dev/null
oras_push "$host/theirs/script:1" "$script" application/vnd.sc-host.strategy.rhai.v1 > /dev/null
for theirs in wkg crate oras; do
  sc_host strategy pull "$host/theirs/$theirs:1" --to "from-$theirs.wasm" > /dev/null
  cmp "from-$theirs.wasm" "$component"; said "we pull a component that $theirs has pushed"
done
sc_host strategy pull "$host/theirs/script:1" --to from-oras.rhai > /dev/null
cmp from-oras.rhai "$script"; said "we pull a script that oras has pushed"

for who in alice bob; do sc_host strategy keygen "$who" > /dev/null; done
signed=$(sc_host strategy push "$component" "$host/ours/margin:1")
sc_host strategy sign "$signed" --key alice.key > /dev/null
other verify "$host/ours/margin:1" alice.pub; said "sigstore verifies our signature"
refused other verify "$host/ours/margin:1" bob.pub; said "and not by another's key"
other sign "$host/theirs/wkg:1" bob.key "$COSIGN_PASSWORD"
sc_host strategy verify "$host/theirs/wkg:1" --key bob.pub > /dev/null
said "we verify a signature that sigstore has made, with a key of ours that it has opened"
refused sc_host strategy verify "$host/theirs/wkg:1" --key alice.pub; said "and not by another's key"
digest=$(sc_host strategy pull "$host/theirs/wkg:1" --json | python3 -c "import json, sys; print(json.load(sys.stdin)[\"digest\"])")
sc_host strategy sign "$host/theirs/wkg@$digest" --key alice.key > /dev/null
for key in alice bob; do other verify "$host/theirs/wkg:1" "$key.pub"; done
said "sigstore verifies both signatures where we have put ours beside its own"
